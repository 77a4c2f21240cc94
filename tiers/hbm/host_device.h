// tiers/hbm/host_device.h
//
// The Device of a machine without a GPU: its pool is a memfd, and its copies are memcpy on the
// caller's thread, inside Poll, at most kSliceBytes at a time. It has no thread of its own;
// CopyThread lends it one. Everything above the Device is the same code as with a GPU.

#ifndef KVPAGER_TIERS_HBM_HOST_DEVICE_H_
#define KVPAGER_TIERS_HBM_HOST_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/base/units.h"
#include "tiers/hbm/device.h"
#include "tiers/host/shared_memory.h"

namespace kvpager {

class HostDevice final : public Device {
 public:
  static constexpr uint64_t kSliceBytes = 256 * kKiB;
  static constexpr uint32_t kSliceCopies = 32;

  struct Options {
    uint32_t frames = 0;
    uint64_t frame_bytes = 0;  // A multiple of kFrameAlignment.
  };

  // kResourceExhausted, saying how much was asked for, if the memory is not to be had.
  static absl::StatusOr<std::unique_ptr<HostDevice>> Create(const Options& options);
  ~HostDevice() override;

  std::byte* pool_base() const override { return memory_.base; }
  bool cpu_addressable() const override { return true; }
  uint64_t frame_bytes() const override { return options_.frame_bytes; }
  uint32_t frames() const override { return options_.frames; }
  absl::Span<const DevicePart> parts() const override { return {&part_, 1}; }
  absl::Status RegisterHostMemory(std::byte* base, uint64_t bytes) override;
  uint32_t copies_max() const override { return 256; }
  void Submit(absl::Span<const DeviceCopy> copies) override;
  size_t Poll(absl::Span<DeviceDone> out) override;
  bool wants_poll() const override { return !queue_.empty(); }
  std::string_view detail() const override { return detail_; }

  // The bytes of one frame, for tests.
  absl::Span<std::byte> frame(FrameIndex index) const;

 private:
  HostDevice(const Options& options, const SharedMemory& memory);
  void CopySlice(const DeviceCopy& copy, uint64_t done_bytes, uint64_t bytes) const;

  Options options_;
  SharedMemory memory_;
  DevicePart part_;
  std::string detail_;
  std::deque<DeviceCopy> queue_;
  uint64_t front_done_bytes_ = 0;  // Of queue_.front().
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_HBM_HOST_DEVICE_H_
