#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/merge.h"
#include "kernels/cuda/merge_cta.cuh"

namespace kvpager::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kBlocksMax = 4096;

__global__ void __launch_bounds__(kThreads)
    MergeResultsKernel(const __grid_constant__ CudaMergeCall call) {
  MergeResults(DeviceThread(), call);
}

}  // namespace

CudaStatus CudaMergeResults(const CudaMergeCall& call, CudaStream stream) {
  if (call.rows < 0 || call.head_dim_v <= 0) return {"make rows 0 or more, head_dim_v above 0"};
  if (call.target.lse == nullptr || call.part_lse == nullptr) {
    return {"give the log-sum-exp of both results"};
  }
  if (call.rows == 0) return {};
  const auto blocks = static_cast<unsigned>(std::min(kBlocksMax, call.rows));
  MergeResultsKernel<<<blocks, kThreads, 0, internal::StreamOf(stream)>>>(call);
  return internal::LaunchStatus();
}

}  // namespace kvpager::kernels
