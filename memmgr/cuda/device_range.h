// memmgr/cuda/device_range.h
//
// One range of device addresses, and the physical memory mapped into it part by part from its
// start. The base never moves, so captured graphs stay valid.
//
//   base                                                base + reserved
//   | part 0 | part 1 | ... | mapped so far |  addresses only  |
//
// A process that owns the memory creates parts; one that was handed descriptors imports them.
// Memory is given back when every process has unmapped it and let go of its handle.
//
// Units: bytes; parts are multiples of the device's granularity. Ownership: the range unmaps and
// releases what it holds. Thread-safety: one thread at a time, with the context current.
// Errors: kResourceExhausted no device memory or no addresses; a failed call changes nothing.

#ifndef KVPAGER_MEMMGR_CUDA_DEVICE_RANGE_H_
#define KVPAGER_MEMMGR_CUDA_DEVICE_RANGE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/cuda/scoped_context.h"

namespace kvpager::cuda {

class DeviceRange {
 public:
  // Reserves addresses. `context` outlives the range. REQUIRES: bytes > 0.
  static absl::StatusOr<std::unique_ptr<DeviceRange>> Reserve(const PrimaryContext& context,
                                                              uint64_t bytes);
  ~DeviceRange();
  DeviceRange(const DeviceRange&) = delete;
  DeviceRange& operator=(const DeviceRange&) = delete;

  // What sizes of parts and reservations are multiples of.
  static absl::StatusOr<uint64_t> Granularity(const PrimaryContext& context);

  // Maps fresh memory of the device behind what is mapped, readable and writable by it.
  absl::Status Grow(uint64_t bytes);

  // Maps memory of another process behind what is mapped. The descriptor stays the caller's.
  absl::Status Import(int fd, uint64_t bytes);

  // A descriptor of part `index` that Grow made; the caller closes it.
  absl::StatusOr<int> Export(size_t index) const;

  DevicePointer base() const { return base_; }
  uint64_t mapped_bytes() const { return mapped_bytes_; }
  uint64_t reserved_bytes() const { return reserved_bytes_; }
  size_t parts() const { return parts_.size(); }
  uint64_t part_bytes(size_t index) const { return parts_[index].bytes; }

 private:
  struct Part {
    AllocationHandle handle = 0;
    uint64_t bytes = 0;
  };

  DeviceRange(const PrimaryContext& context, DevicePointer base, uint64_t bytes)
      : context_(context), base_(base), reserved_bytes_(bytes) {}
  // Takes the handle over, also where it fails.
  absl::Status MapPart(AllocationHandle handle, uint64_t bytes);

  const PrimaryContext& context_;
  DevicePointer base_ = 0;
  uint64_t reserved_bytes_ = 0;
  uint64_t mapped_bytes_ = 0;
  std::vector<Part> parts_;
};

}  // namespace kvpager::cuda

#endif  // KVPAGER_MEMMGR_CUDA_DEVICE_RANGE_H_
