#include "kernels/cuda/attend_kernel.cuh"

namespace kvpager::kernels::internal {

AttendFunction AttendFunctionF32(const AttendChoice& choice) {
  return FunctionFor<Dtype::kF32>(choice);
}

}  // namespace kvpager::kernels::internal
