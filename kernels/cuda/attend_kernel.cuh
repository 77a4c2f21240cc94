// kernels/cuda/attend_kernel.cuh
//
// The attention kernel itself and its launch, for one element type: each attend_<type>.cu makes
// them of this.
//
//   head dimensions   64, 96, 128, 256, and 576 + 512 of latent attention
//   rows of a warp    4 or 8 (latent attention: 4), so that few rows cost no more than they must

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_KERNEL_CUH_
#define KVPAGER_KERNELS_CUDA_ATTEND_KERNEL_CUH_

#include <cuda_runtime.h>

#include "kernels/cuda/attend_cta.cuh"
#include "kernels/cuda/attend_launch.h"
#include "kernels/cuda/attend_shape.h"

namespace kvpager::kernels::internal {

template <typename Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocksPerMultiprocessor)
    AttendKernel(const __grid_constant__ AttendParams params) {
  extern __shared__ __align__(128) uint8_t shared[];
  const DeviceThread thread;
  AttendCta<Shape, DeviceThread>(thread, params, shared).Run();
}

template <typename Shape>
AttendFunction FunctionOf() {
  return {reinterpret_cast<const void*>(&AttendKernel<Shape>), Shape::kNumbers};
}

template <Dtype kType>
AttendFunction FunctionFor(const AttendChoice& choice) {
  const bool few = choice.warp_rows == 4;
  if (choice.head_dim_k == 576 && choice.head_dim_v == 512) {
    return FunctionOf<AttendShape<kType, 576, 512, 4>>();
  }
  if (choice.head_dim_k != choice.head_dim_v) return {};
  switch (choice.head_dim_k) {
    case 64:
      return few ? FunctionOf<AttendShape<kType, 64, 64, 4>>()
                 : FunctionOf<AttendShape<kType, 64, 64, 8>>();
    case 96:
      return few ? FunctionOf<AttendShape<kType, 96, 96, 4>>()
                 : FunctionOf<AttendShape<kType, 96, 96, 8>>();
    case 128:
      return few ? FunctionOf<AttendShape<kType, 128, 128, 4>>()
                 : FunctionOf<AttendShape<kType, 128, 128, 8>>();
    case 256:
      return few ? FunctionOf<AttendShape<kType, 256, 256, 4>>()
                 : FunctionOf<AttendShape<kType, 256, 256, 8>>();
    default:
      return {};
  }
}

}  // namespace kvpager::kernels::internal

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_KERNEL_CUH_
