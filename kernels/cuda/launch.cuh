// kernels/cuda/launch.cuh
//
// What all launches have in common: CUDA's errors as a CudaStatus.

#ifndef KVPAGER_KERNELS_CUDA_LAUNCH_CUH_
#define KVPAGER_KERNELS_CUDA_LAUNCH_CUH_

#include <cuda_runtime.h>

#include "kernels/cuda/status.h"

namespace kvpager::kernels::internal {

inline CudaStatus StatusOf(cudaError_t error) {
  if (error == cudaSuccess) return {};
  return {cudaGetErrorString(error), static_cast<int>(error)};
}

// Of the launch that this thread made last.
inline CudaStatus LaunchStatus() { return StatusOf(cudaGetLastError()); }

inline cudaStream_t StreamOf(CudaStream stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace kvpager::kernels::internal

#endif  // KVPAGER_KERNELS_CUDA_LAUNCH_CUH_
