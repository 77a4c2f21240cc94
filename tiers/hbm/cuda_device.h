// tiers/hbm/cuda_device.h
//
// The Device on an NVIDIA GPU, through the driver alone. docs/GPU.md says what of it has run on
// one.
//
//   pool      one reservation; physical memory part by part, each exported as a descriptor
//   up        stream of promotions, copies within HBM and scrubs
//   down      stream of demotions: neither waits for the other
//   staging   a few MiB of pinned memory, for host memory that is not registered (yet)
//
// Completion is polled: events behind every launch; no stream of an engine is touched. Once the
// device is lost (health()), every copy fails, and so does whatever was in the pool.
//
// Ownership: context reference, pool, streams, registrations. Host memory given to
// RegisterHostMemory outlives the device. Thread-safety: the thread that created it.

#ifndef KVPAGER_TIERS_HBM_CUDA_DEVICE_H_
#define KVPAGER_TIERS_HBM_CUDA_DEVICE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/base/units.h"
#include "memmgr/cuda/device_range.h"
#include "memmgr/cuda/scoped_context.h"
#include "tiers/hbm/cuda_queue.h"
#include "tiers/hbm/cuda_registrar.h"
#include "tiers/hbm/device.h"

namespace kvpager {

// Bytes per second that copies between pinned memory and the pool reached at start.
struct CudaRates {
  uint64_t to_host = 0;
  uint64_t from_host = 0;
};

class CudaDevice final : public Device {
 public:
  static constexpr uint32_t kCopiesMax = 256;
  static constexpr uint32_t kStagingSlots = 8;
  static constexpr uint64_t kStagingSlotBytes = kMiB;
  static constexpr uint64_t kStagingSliceBytes = 2 * kMiB;  // Copied by the CPU per call.

  struct Options {
    cuda::DriverTable driver;
    int ordinal = 0;
    uint32_t frames = 0;
    uint64_t frame_bytes = 0;                    // A multiple of kFrameAlignment.
    uint64_t part_bytes = kGiB;                  // At least; rounded up, and so that parts suffice.
    uint64_t register_region_bytes = 16 * kGiB;  // A multiple of the system's page size.
  };

  // kResourceExhausted, saying how much was asked for and is free; kUnavailable no such device;
  // kUnimplemented a device that cannot share memory.
  static absl::StatusOr<std::unique_ptr<CudaDevice>> Create(const Options& options);
  ~CudaDevice() override;

  std::byte* pool_base() const override { return reinterpret_cast<std::byte*>(pool_->base()); }
  bool cpu_addressable() const override { return false; }
  uint64_t frame_bytes() const override { return options_.frame_bytes; }
  uint32_t frames() const override { return options_.frames; }
  absl::Span<const DevicePart> parts() const override { return parts_; }
  std::optional<DeviceUuid> gpu() const override { return context_->uuid(); }
  absl::Status health() const override;
  absl::Status RegisterHostMemory(std::byte* base, uint64_t bytes) override;
  uint32_t copies_max() const override { return kCopiesMax; }
  void Submit(absl::Span<const DeviceCopy> copies) override;
  size_t Poll(absl::Span<DeviceDone> out) override;
  bool wants_poll() const override { return copies_ > 0; }
  std::string_view detail() const override;

  const CudaRates& rates() const { return rates_; }
  uint64_t staged_bytes() const { return staged_bytes_; }
  // Null before RegisterHostMemory.
  const CudaRegistrar* registrar() const { return registrar_.get(); }

 private:
  static constexpr uint32_t kNoSlot = ~0u;

  // A copy that was submitted and has not been reported.
  struct Active {
    DeviceCopy copy;
    uint64_t started_bytes = 0;
    uint64_t ended_bytes = 0;
    cuda::Result error = cuda::kSuccess;
  };
  // One direction.
  struct Way {
    std::unique_ptr<CudaQueue> queue;
    std::deque<uint32_t> waiting;  // Not yet wholly started; indices of active_.
  };

  explicit CudaDevice(const Options& options);
  absl::Status BuildPool();
  absl::Status BuildCopies();
  absl::Status Calibrate();
  absl::StatusOr<uint64_t> Measure(CudaQueue& queue, cuda::DevicePointer target,
                                   cuda::DevicePointer source, uint64_t bytes) const;
  void Pump();
  void PumpWay(Way& way, uint64_t& budget_bytes);
  bool AddPiece(uint32_t index, uint64_t& budget_bytes);
  void NoteEnded(const CudaEnded& ended);
  void FinishIfDone(uint32_t index);
  void FailWaiting(Way& way);
  cuda::Result lost() const;
  cuda::DevicePointer AddressOf(FrameIndex frame, uint64_t offset_bytes) const;
  std::byte* SlotOf(uint32_t slot) const { return staging_ + slot * kStagingSlotBytes; }

  const Options options_;
  std::unique_ptr<cuda::PrimaryContext> context_;
  std::unique_ptr<cuda::ScopedContext> current_;
  std::unique_ptr<cuda::DeviceRange> pool_;
  std::vector<DevicePart> parts_;
  std::byte* staging_ = nullptr;
  std::vector<uint32_t> slots_free_;
  Way up_;
  Way down_;
  std::unique_ptr<CudaRegistrar> registrar_;
  CudaRates rates_;

  std::vector<Active> active_;
  std::vector<uint32_t> active_free_;
  uint32_t copies_ = 0;
  std::deque<DeviceDone> done_;
  uint64_t staged_bytes_ = 0;
  uint64_t failed_copies_ = 0;
  cuda::Result last_error_ = cuda::kSuccess;
  std::vector<CudaCopy> batch_;   // Reused by Pump.
  std::vector<CudaEnded> ended_;  // Reused by Poll.
  mutable std::string detail_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_HBM_CUDA_DEVICE_H_
