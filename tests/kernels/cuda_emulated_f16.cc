#include "tests/kernels/cuda_emulated_type.h"

namespace kvpager::kernels::internal {

std::string EmulateF16(const AttendParams& params, const AttendPlan& plan, const EmulatedRun& run) {
  return EmulateType<Dtype::kF16>(params, plan, run);
}

}  // namespace kvpager::kernels::internal
