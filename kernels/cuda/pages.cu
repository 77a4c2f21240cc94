#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pages.h"
#include "kernels/cuda/pages_cta.cuh"

namespace kvpager::kernels {
namespace {

constexpr int kThreads = 256;

template <PageCopy kCopy>
__global__ void __launch_bounds__(kThreads)
    CopyPagesKernel(const __grid_constant__ CudaPages pages) {
  CopyPages<kCopy>(DeviceThread(), pages);
}

template <PageCopy kCopy>
CudaStatus Launch(const CudaPages& pages, CudaStream stream) {
  const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  if (pages.page_bytes <= 0 || pages.page_bytes % 16 != 0 || pages.page_stride_bytes % 16 != 0 ||
      pages.page_bytes > pages.page_stride_bytes || !aligned(pages.pool) ||
      !aligned(pages.buffer)) {
    return {"align pool, buffer, page and stride to 16 bytes, the page not above the stride"};
  }
  if (pages.count < 0 || pages.blocks_max <= 0) return {"make count 0 or more, blocks_max above 0"};
  if (pages.count == 0) return {};
  const int64_t threads = pages.page_bytes / 16 * pages.count;
  const int64_t blocks = std::min<int64_t>(pages.blocks_max, (threads + kThreads - 1) / kThreads);
  CopyPagesKernel<kCopy>
      <<<static_cast<unsigned>(blocks), kThreads, 0, internal::StreamOf(stream)>>>(pages);
  return internal::LaunchStatus();
}

}  // namespace

CudaStatus CudaGatherPages(const CudaPages& pages, CudaStream stream) {
  return Launch<PageCopy::kGather>(pages, stream);
}

CudaStatus CudaScatterPages(const CudaPages& pages, CudaStream stream) {
  return Launch<PageCopy::kScatter>(pages, stream);
}

}  // namespace kvpager::kernels
