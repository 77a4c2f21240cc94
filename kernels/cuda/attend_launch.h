// kernels/cuda/attend_launch.h
//
// Which instance of the attention kernel a shape takes: what attend.cu asks each attend_<type>.cu.

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_LAUNCH_H_
#define KVPAGER_KERNELS_CUDA_ATTEND_LAUNCH_H_

#include <cstdint>

#include "kernels/cuda/attend_shape.h"

namespace kvpager::kernels::internal {

struct AttendChoice {
  int32_t head_dim_k = 0;
  int32_t head_dim_v = 0;
  int32_t warp_rows = 0;
};

struct AttendFunction {
  const void* kernel = nullptr;  // Null: there is none for these head dimensions.
  AttendNumbers numbers;
};

AttendFunction AttendFunctionF16(const AttendChoice& choice);
AttendFunction AttendFunctionBf16(const AttendChoice& choice);
AttendFunction AttendFunctionF32(const AttendChoice& choice);
AttendFunction AttendFunctionF8(const AttendChoice& choice);

}  // namespace kvpager::kernels::internal

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_LAUNCH_H_
