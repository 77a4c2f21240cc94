// kernels/cuda/ceiling.h
//
// What attention on a device cannot beat, to measure it beside: reading memory and doing nothing
// with it.
//
// Ownership: everything is the caller's; all pointers are the device's. Thread-safety: any thread.
// Errors: a CudaStatus; nothing was launched.

#ifndef KVPAGER_KERNELS_CUDA_CEILING_H_
#define KVPAGER_KERNELS_CUDA_CEILING_H_

#include <cstdint>

#include "kernels/cuda/status.h"

namespace kvpager::kernels {

inline constexpr int32_t kCudaReadBlocks = 2048;
inline constexpr int32_t kCudaReadThreads = 256;

struct CudaRead {
  const void* data = nullptr;  // Aligned to 16 bytes.
  int64_t bytes = 0;           // A multiple of 16.
  // [kCudaReadBlocks * kCudaReadThreads]: what the threads read, each one's exclusive or.
  uint32_t* sums = nullptr;
};

CudaStatus CudaReadAll(const CudaRead& read, CudaStream stream);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_CEILING_H_
