#include "kernels/cuda/attend_kernel.cuh"

namespace kvpager::kernels::internal {

AttendFunction AttendFunctionF8(const AttendChoice& choice) {
  return FunctionFor<Dtype::kF8E4m3>(choice);
}

}  // namespace kvpager::kernels::internal
