#include "tests/tiers/faulty_device.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "memmgr/base/check.h"
#include "tiers/nvme/aligned_buffer.h"

namespace kvpager::testing {
namespace {

constexpr uint64_t kBlockBytes = 4096;

}  // namespace

FaultyDevice::~FaultyDevice() {
  if (fd_ >= 0) close(fd_);
}

void FaultyDevice::Attach(const std::string& path) {
  fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC | O_DIRECT);
  if (fd_ < 0) fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC);
  KVP_CHECK(fd_ >= 0);
}

void FaultyDevice::Add(const Fault& fault) {
  const std::lock_guard<std::mutex> lock(mutex_);
  faults_.push_back(fault);
}

void FaultyDevice::Release() {
  const std::lock_guard<std::mutex> lock(mutex_);
  released_ = true;
  changed_.notify_all();
}

void FaultyDevice::AwaitHeld() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return held_ > 0; });
}

void FaultyDevice::Starts(const IoRequest& request) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find_if(faults_.begin(), faults_.end(), [&](const Fault& fault) {
    return fault.write == request.write && fault.times > 0;
  });
  if (found == faults_.end()) return;
  --found->times;
  struck_[request.offset_bytes] = *found;
  if (found->kind == FaultKind::kGone) gone_ = true;
  if (found->kind == FaultKind::kFlip && !request.write) {
    Flip(request.offset_bytes + found->bit_byte);
  }
  if (found->kind != FaultKind::kTorn) return;
  AlignedBuffer before(request.bytes);
  KVP_CHECK_EQ(pread(fd_, before.data(), request.bytes, static_cast<off_t>(request.offset_bytes)),
               ssize_t{request.bytes});
  const char* bytes = reinterpret_cast<const char*>(before.data());
  contents_[request.offset_bytes].assign(bytes, bytes + request.bytes);
}

int64_t FaultyDevice::Ends(const IoRequest& request, int64_t result) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto found = struck_.find(request.offset_bytes);
  if (gone_) return -ENODEV;
  if (found == struck_.end()) return result;
  const Fault fault = found->second;
  struck_.erase(found);
  switch (fault.kind) {
    case FaultKind::kError:
      return -fault.error;
    case FaultKind::kShort:
      return request.bytes / 2;
    case FaultKind::kTorn:
      RestoreTail(request, contents_[request.offset_bytes]);
      return result;
    case FaultKind::kFlip:
      if (request.write) Flip(request.offset_bytes + fault.bit_byte);
      return result;
    case FaultKind::kHeld:
      ++held_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return released_; });
      return result;
    case FaultKind::kGone:
      break;
  }
  return -ENODEV;
}

int FaultyDevice::FlushEnds(int error) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return gone_ ? ENODEV : error;
}

void FaultyDevice::Flip(uint64_t offset_bytes) const {
  AlignedBuffer block(kBlockBytes);
  const auto at = static_cast<off_t>(offset_bytes / kBlockBytes * kBlockBytes);
  KVP_CHECK_EQ(pread(fd_, block.data(), kBlockBytes, at), ssize_t{kBlockBytes});
  block.data()[offset_bytes % kBlockBytes] ^= std::byte{1};
  KVP_CHECK_EQ(pwrite(fd_, block.data(), kBlockBytes, at), ssize_t{kBlockBytes});
}

// Puts back what stood in the second half, from a border of blocks on.
void FaultyDevice::RestoreTail(const IoRequest& request, const std::vector<char>& before) const {
  const uint64_t kept = request.bytes / 2 / kBlockBytes * kBlockBytes;
  const uint64_t tail = request.bytes - kept;
  AlignedBuffer block(tail);
  char* bytes = reinterpret_cast<char*>(block.data());
  std::copy(before.begin() + static_cast<int64_t>(kept), before.end(), bytes);
  KVP_CHECK_EQ(pwrite(fd_, bytes, tail, static_cast<off_t>(request.offset_bytes + kept)),
               static_cast<ssize_t>(tail));
}

}  // namespace kvpager::testing
