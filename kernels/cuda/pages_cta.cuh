// kernels/cuda/pages_cta.cuh
//
// What a thread of the page copies does: 16 bytes at a time, four of them under way at once.

#ifndef KVPAGER_KERNELS_CUDA_PAGES_CTA_CUH_
#define KVPAGER_KERNELS_CUDA_PAGES_CTA_CUH_

#include <cstdint>

#include "kernels/cuda/pages.h"
#include "kernels/cuda/thread.cuh"

namespace kvpager::kernels {

struct alignas(16) Sixteen {
  uint32_t word[4];
};

enum class PageCopy : uint8_t { kGather, kScatter };

template <PageCopy kCopy, typename Thread>
KVPAGER_DEVICE void CopyPages(const Thread& thread, const CudaPages& pages) {
  constexpr int kAtOnce = 4;
  const int64_t of_page = pages.page_bytes / 16;
  const int64_t total = of_page * pages.count;
  const int64_t threads = int64_t{thread.blocks_x()} * thread.count();
  const auto in_pool = [&](int64_t i) {
    const int64_t page = i / of_page;
    return static_cast<uint8_t*>(pages.pool) + pages.indices[page] * pages.page_stride_bytes +
           (i - page * of_page) * 16;
  };
  auto* const buffer = static_cast<Sixteen*>(pages.buffer);
  for (int64_t first = int64_t{thread.block_x()} * thread.count() + thread.index(); first < total;
       first += threads * kAtOnce) {
    Sixteen held[kAtOnce];
    KVPAGER_UNROLL
    for (int j = 0; j < kAtOnce; ++j) {
      const int64_t i = first + j * threads;
      if (i >= total) continue;
      held[j] =
          kCopy == PageCopy::kGather ? *reinterpret_cast<const Sixteen*>(in_pool(i)) : buffer[i];
    }
    KVPAGER_UNROLL
    for (int j = 0; j < kAtOnce; ++j) {
      const int64_t i = first + j * threads;
      if (i >= total) continue;
      if constexpr (kCopy == PageCopy::kGather) {
        buffer[i] = held[j];
      } else {
        *reinterpret_cast<Sixteen*>(in_pool(i)) = held[j];
      }
    }
  }
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_PAGES_CTA_CUH_
