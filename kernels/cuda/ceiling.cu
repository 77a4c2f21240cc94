#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/ceiling.h"
#include "kernels/cuda/ceiling_cta.cuh"
#include "kernels/cuda/launch.cuh"

namespace kvpager::kernels {
namespace {

__global__ void __launch_bounds__(kCudaReadThreads)
    ReadAllKernel(const __grid_constant__ CudaRead read) {
  ReadAll(DeviceThread(), read);
}

}  // namespace

CudaStatus CudaReadAll(const CudaRead& read, CudaStream stream) {
  if (read.bytes < 0 || read.bytes % 16 != 0 || reinterpret_cast<uintptr_t>(read.data) % 16 != 0) {
    return {"align data and bytes to 16 bytes"};
  }
  ReadAllKernel<<<kCudaReadBlocks, kCudaReadThreads, 0, internal::StreamOf(stream)>>>(read);
  return internal::LaunchStatus();
}

}  // namespace kvpager::kernels
