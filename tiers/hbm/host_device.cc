#include "tiers/hbm/host_device.h"

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/status_macros.h"
#include "tiers/host/shared_memory.h"

namespace kvpager {

absl::StatusOr<std::unique_ptr<HostDevice>> HostDevice::Create(const Options& options) {
  if (options.frames == 0 || options.frame_bytes == 0 ||
      options.frame_bytes % kFrameAlignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the hbm tier needs at least one frame of a multiple of ", kFrameAlignment,
                     " bytes, not ", options.frames, " of ", options.frame_bytes));
  }
  KVP_ASSIGN_OR_RETURN(
      SharedMemory memory,
      MakeSharedMemory({.name = "kvpager-hbm", .bytes = options.frames * options.frame_bytes}));
  if (!Seal(memory, F_SEAL_SHRINK | F_SEAL_GROW)) {
    ReleaseSharedMemory(memory);
    return absl::UnavailableError("hbm pool: this kernel cannot seal shared memory");
  }
  return std::unique_ptr<HostDevice>(new HostDevice(options, memory));
}

HostDevice::HostDevice(const Options& options, const SharedMemory& memory)
    : options_(options),
      memory_(memory),
      part_{memory.fd, options.frames * options.frame_bytes},
      detail_(absl::StrCat("host memory, ", options.frames, " frames of ", options.frame_bytes,
                           " bytes")) {}

HostDevice::~HostDevice() { ReleaseSharedMemory(memory_); }

absl::Span<std::byte> HostDevice::frame(FrameIndex index) const {
  KVP_CHECK_LT(index.value, options_.frames);
  return {memory_.base + index.value * options_.frame_bytes, options_.frame_bytes};
}

// A CPU copies from any memory at full speed.
absl::Status HostDevice::RegisterHostMemory(std::byte*, uint64_t) { return absl::OkStatus(); }

void HostDevice::Submit(absl::Span<const DeviceCopy> copies) {
  for (const DeviceCopy& copy : copies) {
    KVP_CHECK_LE(copy.offset_bytes, options_.frame_bytes);
    KVP_CHECK_LE(copy.length_bytes, options_.frame_bytes - copy.offset_bytes);
    queue_.push_back(copy);
  }
  KVP_CHECK_LE(queue_.size(), copies_max());
}

size_t HostDevice::Poll(absl::Span<DeviceDone> out) {
  uint64_t budget_bytes = kSliceBytes;
  size_t done = 0;
  while (!queue_.empty() && budget_bytes > 0 && done < out.size() && done < kSliceCopies) {
    const DeviceCopy& copy = queue_.front();
    const uint64_t bytes = std::min(budget_bytes, copy.length_bytes - front_done_bytes_);
    CopySlice(copy, front_done_bytes_, bytes);
    budget_bytes -= bytes;
    front_done_bytes_ += bytes;
    if (front_done_bytes_ < copy.length_bytes) break;
    out[done++] = {.id = copy.id, .error = 0};
    queue_.pop_front();
    front_done_bytes_ = 0;
  }
  return done;
}

void HostDevice::CopySlice(const DeviceCopy& copy, uint64_t done_bytes, uint64_t bytes) const {
  const uint64_t offset = copy.offset_bytes + done_bytes;
  switch (copy.kind) {
    case DeviceCopyKind::kToHost:
      std::memcpy(copy.host + done_bytes, frame(copy.source).data() + offset, bytes);
      return;
    case DeviceCopyKind::kFromHost:
      std::memcpy(frame(copy.target).data() + offset, copy.host + done_bytes, bytes);
      return;
    case DeviceCopyKind::kWithin:
      std::memcpy(frame(copy.target).data() + offset, frame(copy.source).data() + offset, bytes);
      return;
    case DeviceCopyKind::kZero:
      std::memset(frame(copy.target).data() + offset, 0, bytes);
      return;
  }
}

}  // namespace kvpager
