// tiers/hbm/device_executor.h
//
// The four channels that touch HBM, over any Device: kHbmToHost, kHostToHbm, kHbmToHbm, kScrub.
//
//   kHbmToHost  copies the payload, then writes page, length and CRC32C into the host frame's
//               header
//   kHostToHbm  checks the header's page and length, copies, checks the CRC32C of what was copied:
//               kCorrupt if any of it disagrees (E6)
//
// Order (R7): promotions, copies within HBM and scrubs go before demotions. A demotion is cut into
// pieces of at most kDemotionPieceBytes, and no more than that is in flight at once, so whatever is
// urgent waits for one piece at most. Checksums are computed on the caller's thread in Poll, in
// slices.
//
// Ownership: device and arena belong to the caller and outlive the executor. Thread-safety: one
// thread; it has none of its own. Complexity: Poll does at most kSliceBytes of checksums beside
// what Device::Poll does.

#ifndef KVPAGER_TIERS_HBM_DEVICE_EXECUTOR_H_
#define KVPAGER_TIERS_HBM_DEVICE_EXECUTOR_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/units.h"
#include "memmgr/core/effect.h"
#include "tiers/executor.h"
#include "tiers/hbm/device.h"
#include "tiers/host/host_arena.h"

namespace kvpager {

class DeviceExecutor final : public CopyExecutor {
 public:
  static constexpr uint64_t kDemotionPieceBytes = 2 * kMiB;
  // Small enough that what a Device has just copied is summed while it is in the cache.
  static constexpr uint64_t kSliceBytes = 256 * kKiB;

  struct Options {
    Device* device = nullptr;
    HostArena* arena = nullptr;
    Geometry geometry;
  };

  // kInvalidArgument if device or arena have frames of another size than the geometry.
  static absl::StatusOr<std::unique_ptr<DeviceExecutor>> Create(const Options& options);

  // Waits for what the device is doing; completions not polled are lost.
  ~DeviceExecutor() override;

  void Submit(absl::Span<const CopyOp> copies) override;
  size_t Poll(absl::Span<Completion> out) override;
  bool wants_poll() const override { return in_flight_ > 0; }
  int ready_fd() const override { return -1; }

  // Any thread may ask.
  uint64_t moved_bytes(Channel channel) const {
    return moved_bytes_[ChannelIndex(channel)].load(std::memory_order_relaxed);
  }

 private:
  struct Operation {
    CopyOp copy;
    uint64_t submitted_bytes = 0;  // Handed to the device.
    uint64_t copied_bytes = 0;     // Reported back by it.
    uint64_t checked_bytes = 0;    // In the checksum.
    uint32_t crc = 0;
    int32_t error = 0;
  };

  explicit DeviceExecutor(const Options& options);
  static bool IsDemotion(Channel channel) { return channel == Channel::kHbmToHost; }
  uint64_t LengthBytes(Channel channel) const;
  void FeedDevice();
  void AddPiece(uint32_t slot, uint64_t bytes);
  void Reap();
  void CheckSlices();
  bool CheckSlice(Operation& operation, uint64_t& budget_bytes);
  void Finish(uint32_t slot, Outcome outcome);
  uint32_t Allocate(const CopyOp& copy);

  Options options_;
  uint64_t payload_bytes_ = 0;
  std::vector<Operation> operations_;
  std::vector<uint32_t> slots_free_;
  std::deque<uint32_t> urgent_;     // Not yet wholly handed to the device.
  std::deque<uint32_t> demotions_;  // The same.
  std::deque<uint32_t> checks_;     // Copied; the checksum is not done.
  std::deque<Completion> done_;
  std::vector<DeviceCopy> batch_;  // Reused by FeedDevice.
  uint32_t in_flight_ = 0;         // Submitted, not polled.
  uint32_t device_copies_ = 0;
  uint64_t demotion_bytes_ = 0;  // In flight on the device.
  std::array<std::atomic<uint64_t>, kChannelCount> moved_bytes_{};
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_HBM_DEVICE_EXECUTOR_H_
