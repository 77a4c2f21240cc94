#include "tiers/nvme/frame_io.h"

#include <errno.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "memmgr/base/check.h"
#include "memmgr/base/crash_point.h"
#include "memmgr/base/crc32c.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/units.h"
#include "tiers/nvme/frame_header.h"

namespace kvpager {
namespace {

FrameIdentity IdentityOf(const CopyOp& copy) {
  return {.key = copy.key, .parent_key = copy.parent_key, .stamp = copy.stamp, .group = copy.group};
}

// Says nothing of the device.
bool IsForWantOfRoom(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

}  // namespace

FrameIo::FrameIo(const NvmeExecutor::Options& options, uint32_t writes_max)
    : arena_(options.arena),
      file_(options.file),
      sealer_(options.sealer),
      frame_bytes_(CheckedCast<uint32_t>(options.file->frame_bytes())),
      fingerprint_(Fingerprint(options.file->geometry())) {
  if (sealer_ == nullptr) return;
  bounces_ = std::make_unique<AlignedBuffer>(size_t{writes_max} * frame_bytes_);
  bounce_of_.resize(arena_->frames());
  for (uint32_t i = writes_max; i > 0; --i) {
    bounces_free_.push_back(CheckedCast<uint16_t>(i - 1));
  }
}

bool FrameIo::HasRoomForWrite() {
  if (sealer_ == nullptr) return true;
  const std::lock_guard<std::mutex> lock(bounces_mutex_);
  return !bounces_free_.empty();
}

bool FrameIo::PrepareWrite(const CopyOp& copy) {
  std::byte* header = arena_->header(copy.source);
  if (!HostPartNames(header, copy.page, arena_->payload_bytes())) return false;
  if (PayloadCrc(header) != Crc32c(arena_->payload(copy.source))) return false;
  if (sealer_ != nullptr) return Seal(copy);
  SealForNvme(header, fingerprint_, IdentityOf(copy));
  return true;
}

bool FrameIo::Seal(const CopyOp& copy) {
  {
    const std::lock_guard<std::mutex> lock(bounces_mutex_);
    KVP_CHECK(!bounces_free_.empty());
    bounce_of_[copy.source.value] = bounces_free_.back();
    bounces_free_.pop_back();
  }
  std::byte* const bounce = BounceOf(copy);
  std::byte* const header = bounce + (arena_->header(copy.source) - arena_->frame(copy.source));
  if (sealer_->Seal(copy.name_space, fingerprint_, IdentityOf(copy), arena_->payload(copy.source),
                    bounce, header)) {
    return true;
  }
  GiveBounce(copy);
  return false;
}

void FrameIo::GiveBounce(const CopyOp& copy) {
  const std::lock_guard<std::mutex> lock(bounces_mutex_);
  bounces_free_.push_back(bounce_of_[copy.source.value]);
}

// What was read is what `copy` wants; its header's host part is right from here on.
bool FrameIo::Verify(const CopyOp& copy) const {
  std::byte* header = arena_->header(copy.target);
  const absl::Span<std::byte> payload = arena_->payload(copy.target);
  if (sealer_ == nullptr) {
    if (!VerifyFrame(header, fingerprint_, IdentityOf(copy), payload)) return false;
    SetPageIndex(header, copy.page);
    return true;
  }
  if (!sealer_->Open(copy.name_space, fingerprint_, IdentityOf(copy), header, payload)) {
    return false;
  }
  SetHostPart(header, copy.page, payload);
  return true;
}

Completion FrameIo::ConcludeCorrupt(const CopyOp& copy) {
  corrupt_.fetch_add(1, std::memory_order_relaxed);
  return {.op = copy.op, .outcome = Outcome::kCorrupt, .os_error = 0};
}

Completion FrameIo::Conclude(const CopyOp& copy, int64_t result) {
  if (file_->tap() != nullptr) result = file_->tap()->Ends(RequestOf(copy), result);
  if (IsBounced(copy)) GiveBounce(copy);
  if (result != int64_t{frame_bytes_}) {
    failed_.fetch_add(1, std::memory_order_relaxed);
    // A short transfer has no number of its own.
    const int error = result < 0 ? static_cast<int>(-result) : EIO;
    if (!IsForWantOfRoom(error)) failed_in_row_.fetch_add(1, std::memory_order_relaxed);
    return {.op = copy.op, .outcome = Outcome::kFailed, .os_error = error};
  }
  failed_in_row_.store(0, std::memory_order_relaxed);
  if (!IsRead(copy)) {
    KVP_CRASH_POINT("nvme_write_completed");
    writes_.fetch_add(1, std::memory_order_relaxed);
    return {.op = copy.op};
  }
  reads_.fetch_add(1, std::memory_order_relaxed);
  if (!Verify(copy)) return ConcludeCorrupt(copy);
  return {.op = copy.op};
}

NvmeStats FrameIo::stats() const {
  NvmeStats stats;
  stats.reads = reads_.load(std::memory_order_relaxed);
  stats.read_bytes = stats.reads * frame_bytes_;
  stats.writes = writes_.load(std::memory_order_relaxed);
  stats.written_bytes = stats.writes * frame_bytes_;
  stats.failed = failed_.load(std::memory_order_relaxed);
  stats.failed_in_row = failed_in_row_.load(std::memory_order_relaxed);
  stats.corrupt = corrupt_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace kvpager
