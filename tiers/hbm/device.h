// tiers/hbm/device.h
//
// A device with its pool of frames: a GPU, or ordinary memory that stands in for one. No type of
// any device library appears here.
//
// The pool is one range of `frames` frames of `frame_bytes` each, whose base never moves, and which
// other processes map through its parts. Copies are asynchronous and end in any order; the device
// may start them in any order too, but it should keep to the order of Submit: the caller has sorted
// them by urgency.
//
// Units: bytes; offsets count from the start of a frame. Ownership: the device owns the pool and
// the descriptor; host memory belongs to the caller and must stay until the copy has ended.
// Thread-safety: one thread. Errors: construction returns a Status; a copy fails through its
// DeviceDone.

#ifndef KVPAGER_TIERS_HBM_DEVICE_H_
#define KVPAGER_TIERS_HBM_DEVICE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "memmgr/base/ids.h"

namespace kvpager {

enum class DeviceCopyKind : uint8_t { kToHost, kFromHost, kWithin, kZero };

// Bytes [offset_bytes, +length_bytes) of a frame.
struct DeviceCopy {
  uint64_t id = 0;  // The caller's; comes back in DeviceDone.
  DeviceCopyKind kind = DeviceCopyKind::kWithin;
  FrameIndex source;  // kToHost, kWithin.
  FrameIndex target;  // kFromHost, kWithin, kZero.
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  std::byte* host = nullptr;  // kToHost: written. kFromHost: read. Of byte offset_bytes.
};

struct DeviceDone {
  uint64_t id = 0;
  int32_t error = 0;  // An errno: EIO this copy, ENODEV the device is lost; 0 is success.
};

// What another process maps to see a piece of the pool. The descriptor is the device's.
struct DevicePart {
  int fd = -1;
  uint64_t bytes = 0;
};
inline constexpr size_t kDevicePartsMax = 64;

// Which GPU, wherever a process counts it.
using DeviceUuid = std::array<uint8_t, 16>;

class Device {
 public:
  virtual ~Device() = default;

  // Address of frame 0 in this process: of the device, so the CPU may follow it only if
  // cpu_addressable.
  virtual std::byte* pool_base() const = 0;
  virtual bool cpu_addressable() const = 0;
  virtual uint64_t frame_bytes() const = 0;
  virtual uint32_t frames() const = 0;

  // What an engine maps, read and write, to see the pool: these, one behind the other, at most
  // kDevicePartsMax. Ordinary memory is one part, sealed against shrinking and growing.
  virtual absl::Span<const DevicePart> parts() const = 0;

  // The GPU that the parts are memory of; none if they are ordinary memory.
  virtual std::optional<DeviceUuid> gpu() const { return std::nullopt; }

  // Not OK once the device is lost: every copy fails, and what was in the pool is gone.
  virtual absl::Status health() const { return absl::OkStatus(); }

  // Makes [base, +bytes) fast to copy from and to. May go on in the background while copies run;
  // a device that needs nothing does nothing. The memory must outlive the device.
  virtual absl::Status RegisterHostMemory(std::byte* base, uint64_t bytes) = 0;

  // How many copies may be in flight; the caller keeps to it.
  virtual uint32_t copies_max() const = 0;

  // Starts copies. Never blocks and never ends one itself.
  virtual void Submit(absl::Span<const DeviceCopy> copies) = 0;

  // Moves ended copies into `out` and returns how many. Does a bounded slice of work where no
  // copy engine does it.
  virtual size_t Poll(absl::Span<DeviceDone> out) = 0;

  // True while Poll must be called for copies to end.
  virtual bool wants_poll() const = 0;

  // For people: what the device is, and how it is doing. Valid until the next call.
  virtual std::string_view detail() const = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_HBM_DEVICE_H_
