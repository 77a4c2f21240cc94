#include "tiers/nvme/uring_executor.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/crash_point.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"

namespace kvpager {
namespace {

constexpr uint64_t kBounceBytesMax = uint64_t{64} << 20;

constexpr uint64_t kWakeTag = ~uint64_t{0};
constexpr uint64_t kBufferBytesMax = kGiB;  // The kernel's limit for one registered buffer.
constexpr uint64_t kBuffersMax = 1u << 14;  // The same, for their number.
// Checksums between two looks at the device: some 10 us of them.
constexpr uint64_t kBytesPerTurn = 256 * kKiB;
// How long writes make way after a read: longer than a step needs to ask for its next pages.
constexpr uint64_t kMakeWayNs = 5'000'000;

uint64_t MonotonicNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

// Half of the depth; less where each write needs memory of its own.
uint32_t WritesMaxOf(const NvmeExecutor::Options& options) {
  const uint32_t half = std::max<uint32_t>(1, options.depth / 2);
  if (options.sealer == nullptr) return half;
  const uint64_t fit = std::max<uint64_t>(kBounceBytesMax / options.file->frame_bytes(), 2);
  return static_cast<uint32_t>(std::min<uint64_t>(half, fit));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NvmeExecutor>> UringExecutor::Create(const Options& options) {
  auto executor = std::unique_ptr<UringExecutor>(new UringExecutor(options));
  // One entry more, for the read of the eventfd.
  KVP_ASSIGN_OR_RETURN(executor->uring_, Uring::Create(options.depth + 1));
  executor->uring_->SetFile(options.file->fd());
  executor->RegisterArena();
  KVP_RETURN_IF_ERROR(executor->done_.Init());
  executor->wake_fd_ = eventfd(0, EFD_CLOEXEC);
  if (executor->wake_fd_ < 0) {
    return absl::UnavailableError(absl::StrCat("cannot make an eventfd: ", std::strerror(errno)));
  }
  KVP_RETURN_IF_ERROR(
      (executor->thread_.Start<UringExecutor, &UringExecutor::Run>("kvp-nvme", executor.get())));
  return executor;
}

UringExecutor::UringExecutor(const Options& options)
    : depth_(options.depth),
      writes_max_(WritesMaxOf(options)),
      io_(options, writes_max_),
      slots_(options.depth) {
  for (uint32_t slot = depth_; slot > 0; --slot) slots_free_.push_back(slot - 1);
}

UringExecutor::~UringExecutor() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  if (wake_fd_ >= 0) Wake();
  thread_.Join();
  uring_.reset();
  if (wake_fd_ >= 0) close(wake_fd_);
}

// Buffers of whole frames, so that none lies in two.
void UringExecutor::RegisterArena() {
  const HostArena& arena = io_.arena();
  const uint64_t frames_per_buffer = kBufferBytesMax / arena.frame_bytes();
  std::string reason;
  if (frames_per_buffer == 0) {
    reason = "a frame is larger than 1 GiB";
  } else if (CeilDiv(arena.frames(), frames_per_buffer) > kBuffersMax) {
    reason = "the arena is too large";
  } else {
    std::vector<struct iovec> buffers;
    const uint64_t stride_bytes = frames_per_buffer * arena.frame_bytes();
    for (uint64_t at = 0; at < arena.bytes(); at += stride_bytes) {
      buffers.push_back({arena.base() + at, std::min(stride_bytes, arena.bytes() - at)});
    }
    const int error = uring_->RegisterBuffers(buffers);
    if (error == 0) {
      frames_per_buffer_ = frames_per_buffer;
      detail_ = absl::StrCat(uring_->detail(), ", host arena registered");
      return;
    }
    struct rlimit limit {};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    reason = absl::StrCat(std::strerror(error), "; the arena has ", arena.bytes(),
                          " bytes, memlock allows ", limit.rlim_cur, " (ulimit -l)");
  }
  detail_ = absl::StrCat(uring_->detail(), ", host arena not registered: ", reason);
}

void UringExecutor::Submit(absl::Span<const CopyOp> copies) {
  if (copies.empty()) return;
  bool wake = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    incoming_.insert(incoming_.end(), copies.begin(), copies.end());
    wake = std::exchange(wants_wake_, false);
  }
  if (wake) Wake();
}

NvmeStats UringExecutor::stats() const {
  NvmeStats stats = io_.stats();
  stats.system_calls = system_calls_.load(std::memory_order_relaxed) + done_.system_calls();
  return stats;
}

void UringExecutor::Enter(uint32_t results_min) {
  system_calls_.fetch_add(1, std::memory_order_relaxed);
  uring_->Submit(results_min);
}

void UringExecutor::Wake() {
  system_calls_.fetch_add(1, std::memory_order_relaxed);
  const uint64_t one = 1;
  KVP_CHECK_EQ(write(wake_fd_, &one, sizeof(one)), ssize_t{sizeof(one)});
}

void UringExecutor::Run() {
  uring_->Enable();
  uring_->ReadEventFd(wake_fd_, &wake_value_, kWakeTag);
  while (true) {
    const bool stopping = TakeIncoming();
    StartReads();
    const bool wrote = StartWrites();
    if (ended_.empty() && !wrote) {
      if (stopping && slots_free_.size() == depth_ && reads_.empty() && writes_.empty()) return;
      if (!SleepUnlessAsked()) continue;
    } else {
      Enter(0);
      ConcludeSome();
    }
    if (writes_in_flight_ > 0) KVP_CRASH_POINT("nvme_write_submitted");
    Collect();
  }
}

// Until something ends, or something comes that could be started: with all slots taken nothing
// could. False: something has come already.
bool UringExecutor::SleepUnlessAsked() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!incoming_.empty()) return false;
    wants_wake_ = !slots_free_.empty();
  }
  Enter(1);
  const std::lock_guard<std::mutex> lock(mutex_);
  wants_wake_ = false;
  return true;
}

// Sorts what has arrived into reads and writes; true if the executor is to stop.
bool UringExecutor::TakeIncoming() {
  bool stopping = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    taken_.swap(incoming_);
    stopping = stopping_;
  }
  for (const CopyOp& copy : taken_) (FrameIo::IsRead(copy) ? reads_ : writes_).push_back(copy);
  taken_.clear();
  return stopping;
}

void UringExecutor::StartReads() {
  while (!reads_.empty() && !slots_free_.empty()) {
    Start(reads_.front());
    reads_.pop_front();
  }
}

// A few, for their checksums take time that others should not wait for; false if there is none that
// may be started now.
bool UringExecutor::StartWrites() {
  const uint32_t writes_max = WritesMax();
  uint64_t bytes = 0;
  while (bytes < kBytesPerTurn) {
    if (writes_.empty() || slots_free_.empty() || writes_in_flight_ >= writes_max) break;
    if (!io_.HasRoomForWrite()) break;
    const CopyOp copy = writes_.front();
    writes_.pop_front();
    bytes += io_.frame_bytes();
    if (io_.PrepareWrite(copy)) {
      Start(copy);
    } else {
      concluded_.push_back(io_.ConcludeCorrupt(copy));
    }
  }
  done_.Push(concluded_);
  concluded_.clear();
  return bytes > 0;
}

// Half as many again as reads have been in flight at once lately: a few reads are so beside a few
// writes, and not behind half a queue of them; a queue of reads leaves writes their half. With as
// many as there are reads, writes move 0.21 to 0.27 of what they move alone (kvpager-bench nvme,
// part promotion); they are promised a quarter.
uint32_t UringExecutor::WritesMax() {
  if (reads_peak_ == 0) return writes_max_;
  if (reads_in_flight_ == 0 && MonotonicNs() >= reads_peak_end_ns_) {
    reads_peak_ = 0;
    return writes_max_;
  }
  return std::min(writes_max_, reads_peak_ + (reads_peak_ + 1) / 2);
}

void UringExecutor::Start(const CopyOp& copy) {
  const uint32_t slot = slots_free_.back();
  slots_free_.pop_back();
  slots_[slot] = copy;
  Uring::Request request{.buffer = io_.Buffer(copy),
                         .bytes = io_.frame_bytes(),
                         .offset_bytes = io_.OffsetBytes(copy),
                         .buffer_index = -1,
                         .tag = slot};
  if (frames_per_buffer_ > 0 && !io_.IsBounced(copy)) {
    request.buffer_index = static_cast<int>(io_.HostFrame(copy).value / frames_per_buffer_);
  }
  io_.Begin(copy);
  if (!FrameIo::IsRead(copy)) {
    ++writes_in_flight_;
    uring_->Write(request);
    return;
  }
  ++reads_in_flight_;
  const uint64_t now_ns = MonotonicNs();
  if (reads_in_flight_ >= reads_peak_ || now_ns >= reads_peak_end_ns_) {
    reads_peak_ = reads_in_flight_;
    reads_peak_end_ns_ = now_ns + kMakeWayNs;
  }
  uring_->Read(request);
}

// Frees the slots of what has ended, without looking at it.
void UringExecutor::Collect() {
  Uring::Result result;
  while (uring_->Next(result)) {
    if (result.tag == kWakeTag) {
      uring_->ReadEventFd(wake_fd_, &wake_value_, kWakeTag);
      continue;
    }
    const uint32_t slot = static_cast<uint32_t>(result.tag);
    KVP_CHECK_LT(slot, depth_);
    --(FrameIo::IsRead(slots_[slot]) ? reads_in_flight_ : writes_in_flight_);
    ended_.push_back({slots_[slot], result.value});
    slots_free_.push_back(slot);
  }
}

// A few at a time: whoever waits for a page need not wait for the checksums of many others.
void UringExecutor::ConcludeSome() {
  for (uint64_t bytes = 0; bytes < kBytesPerTurn && !ended_.empty(); bytes += io_.frame_bytes()) {
    const Ended ended = ended_.front();
    ended_.pop_front();
    concluded_.push_back(io_.Conclude(ended.copy, ended.value));
  }
  done_.Push(concluded_);
  concluded_.clear();
}

}  // namespace kvpager
