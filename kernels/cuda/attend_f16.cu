#include "kernels/cuda/attend_kernel.cuh"

namespace kvpager::kernels::internal {

AttendFunction AttendFunctionF16(const AttendChoice& choice) {
  return FunctionFor<Dtype::kF16>(choice);
}

}  // namespace kvpager::kernels::internal
