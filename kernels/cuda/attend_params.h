// kernels/cuda/attend_params.h
//
// The argument of the attention kernel and of its merge: all pointers are the device's.

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_PARAMS_H_
#define KVPAGER_KERNELS_CUDA_ATTEND_PARAMS_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/cuda/attend_piece.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

struct AttendParams {
  PagedKv kv;
  AttentionQuery query;
  AttentionOutput output;
  AttendPlanView plan;
  AttendWorkspace workspace;
  int32_t row_warps = 1;  // Of a block's warps; a power of two.
  bool bulk = false;      // Copy with cp.async.bulk where the device has it.
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_PARAMS_H_
