// memmgr/cuda/abi.h
//
// The part of the CUDA driver's binary interface that the pager uses, in declarations of our own:
// the tier and libkvpager build where no toolkit is installed, with no line compiled differently.
// Numbers and layouts are those of cuda.h; tests/memmgr/cuda/abi_test.cc compares them with it
// where there is one. Do not renumber.
//
// 64-bit Linux only. Thread-safety: types and constants.

#ifndef KVPAGER_MEMMGR_CUDA_ABI_H_
#define KVPAGER_MEMMGR_CUDA_ABI_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace kvpager::cuda {

using Result = int;  // CUresult. Not an enum: a newer driver has numbers that we do not know.
inline constexpr Result kSuccess = 0;
inline constexpr Result kInvalidValue = 1;
inline constexpr Result kOutOfMemory = 2;
inline constexpr Result kNotInitialized = 3;
inline constexpr Result kCallRequiresNewerDriver = 36;
inline constexpr Result kDeviceUnavailable = 46;
inline constexpr Result kNoDevice = 100;
inline constexpr Result kInvalidDevice = 101;
inline constexpr Result kInvalidContext = 201;
inline constexpr Result kEccUncorrectable = 214;
inline constexpr Result kInvalidHandle = 400;
inline constexpr Result kNotReady = 600;
inline constexpr Result kIllegalAddress = 700;
inline constexpr Result kHostMemoryAlreadyRegistered = 712;
inline constexpr Result kHostMemoryNotRegistered = 713;
inline constexpr Result kNotPermitted = 800;
inline constexpr Result kNotSupported = 801;
inline constexpr Result kUnknown = 999;

using DeviceOrdinal = int;          // CUdevice
using DevicePointer = uint64_t;     // CUdeviceptr
using AllocationHandle = uint64_t;  // CUmemGenericAllocationHandle
using Context = struct OpaqueContext*;
using Stream = struct OpaqueStream*;
using Event = struct OpaqueEvent*;
using Uuid = std::array<uint8_t, 16>;

inline constexpr int kAttributeVirtualMemory = 102;
inline constexpr int kAttributePosixHandles = 103;
inline constexpr uint32_t kStreamNonBlocking = 1;
inline constexpr uint32_t kEventDisableTiming = 2;
inline constexpr uint32_t kHostPortable = 1;  // Of both cuMemHostAlloc and cuMemHostRegister.
inline constexpr int kAllocationPinned = 1;
inline constexpr int kHandlePosixFd = 1;
inline constexpr int kLocationDevice = 1;
inline constexpr int kAccessReadWrite = 3;
inline constexpr int kGranularityRecommended = 1;
inline constexpr int kSourceOrderStream = 1;
inline constexpr uint32_t kCopyOverlapsCompute = 1;

struct Location {
  int type = 0;
  int id = 0;
};

struct AllocationProperties {
  int type = kAllocationPinned;
  int handle_types = kHandlePosixFd;
  Location location;
  void* security = nullptr;  // Windows only.
  uint8_t compression = 0;
  uint8_t gpu_direct_rdma = 0;
  uint16_t usage = 0;
  std::array<uint8_t, 4> reserved{};
};

struct AccessDescription {
  Location location;
  int flags = kAccessReadWrite;
};

struct CopyAttributes {
  int source_order = kSourceOrderStream;
  Location source_hint;
  Location target_hint;
  uint32_t flags = 0;
};

}  // namespace kvpager::cuda

#endif  // KVPAGER_MEMMGR_CUDA_ABI_H_
