// tests/kernels/cuda_emulated_type.h
//
// All instances of the attention kernel for one element type, for the emulator.

#ifndef KVPAGER_TESTS_KERNELS_CUDA_EMULATED_TYPE_H_
#define KVPAGER_TESTS_KERNELS_CUDA_EMULATED_TYPE_H_

#include <string>

#include "kernels/cuda/attend_cta.cuh"
#include "kernels/cuda/attend_shape.h"
#include "tests/kernels/cuda_emulated_attend.h"

namespace kvpager::kernels::internal {

template <typename Shape>
std::string EmulateShape(const AttendParams& params, const AttendPlan& plan,
                         const EmulatedRun& run) {
  EmulatedGrid grid;
  grid.x = plan.shape().workers;
  grid.y = params.kv.kv_heads;
  grid.threads = Shape::kThreads;
  grid.shared_bytes = Shape::kSharedBytes;
  grid.copies = run.copies;
  grid.seed = run.seed;
  return Emulate(grid, [&](const EmulatedThread& thread, uint8_t* shared) {
    AttendCta<Shape, EmulatedThread>(thread, params, shared).Run();
  });
}

template <Dtype kType>
std::string EmulateType(const AttendParams& params, const AttendPlan& plan,
                        const EmulatedRun& run) {
  const bool few = plan.launch().numbers.warp_rows == 4;
  switch (plan.shape().head_dim_k) {
    case 64:
      return few ? EmulateShape<AttendShape<kType, 64, 64, 4>>(params, plan, run)
                 : EmulateShape<AttendShape<kType, 64, 64, 8>>(params, plan, run);
    case 96:
      return few ? EmulateShape<AttendShape<kType, 96, 96, 4>>(params, plan, run)
                 : EmulateShape<AttendShape<kType, 96, 96, 8>>(params, plan, run);
    case 128:
      return few ? EmulateShape<AttendShape<kType, 128, 128, 4>>(params, plan, run)
                 : EmulateShape<AttendShape<kType, 128, 128, 8>>(params, plan, run);
    case 256:
      return few ? EmulateShape<AttendShape<kType, 256, 256, 4>>(params, plan, run)
                 : EmulateShape<AttendShape<kType, 256, 256, 8>>(params, plan, run);
    case 576:
      return EmulateShape<AttendShape<kType, 576, 512, 4>>(params, plan, run);
    default:
      return "no such head dimension";
  }
}

}  // namespace kvpager::kernels::internal

#endif  // KVPAGER_TESTS_KERNELS_CUDA_EMULATED_TYPE_H_
