#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/cuda/append.h"
#include "kernels/cuda/append_cta.cuh"
#include "kernels/cuda/launch.cuh"

namespace kvpager::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kBlocksMax = 1024;

__global__ void __launch_bounds__(kThreads)
    AppendKernel(const __grid_constant__ PagedKv kv, const __grid_constant__ CudaNewTokens tokens) {
  AppendRows(DeviceThread(), kv, tokens);
}

}  // namespace

CudaStatus CudaAppend(const PagedKv& kv, const CudaNewTokens& tokens, CudaStream stream) {
  if (tokens.count < 0) return {"make the count of new tokens 0 or more"};
  if (tokens.count == 0) return {};
  const int64_t rows = int64_t{tokens.count} * kv.kv_heads;
  const int64_t blocks = std::min(kBlocksMax, (rows + kThreads / 32 - 1) / (kThreads / 32));
  AppendKernel<<<static_cast<unsigned>(blocks), kThreads, 0, internal::StreamOf(stream)>>>(kv,
                                                                                           tokens);
  return internal::LaunchStatus();
}

}  // namespace kvpager::kernels
