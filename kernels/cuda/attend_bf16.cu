#include "kernels/cuda/attend_kernel.cuh"

namespace kvpager::kernels::internal {

AttendFunction AttendFunctionBf16(const AttendChoice& choice) {
  return FunctionFor<Dtype::kBf16>(choice);
}

}  // namespace kvpager::kernels::internal
