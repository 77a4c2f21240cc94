// kernels/cuda/ceiling_cta.cuh
//
// What a thread of the read ceiling does: 16 bytes at a time, four of them under way at once.

#ifndef KVPAGER_KERNELS_CUDA_CEILING_CTA_CUH_
#define KVPAGER_KERNELS_CUDA_CEILING_CTA_CUH_

#include <cstdint>

#include "kernels/cuda/ceiling.h"
#include "kernels/cuda/pages_cta.cuh"
#include "kernels/cuda/thread.cuh"

namespace kvpager::kernels {

template <typename Thread>
KVPAGER_DEVICE void ReadAll(const Thread& thread, const CudaRead& read) {
  constexpr int kAtOnce = 4;
  const auto* const data = static_cast<const Sixteen*>(read.data);
  const int64_t total = read.bytes / 16;
  const int64_t threads = int64_t{thread.blocks_x()} * thread.count();
  const int64_t own = int64_t{thread.block_x()} * thread.count() + thread.index();
  uint32_t sum = 0;
  for (int64_t first = own; first < total; first += threads * kAtOnce) {
    Sixteen held[kAtOnce] = {};
    KVPAGER_UNROLL
    for (int j = 0; j < kAtOnce; ++j) {
      if (first + j * threads < total) held[j] = data[first + j * threads];
    }
    KVPAGER_UNROLL
    for (int j = 0; j < kAtOnce; ++j) {
      sum ^= held[j].word[0] ^ held[j].word[1] ^ held[j].word[2] ^ held[j].word[3];
    }
  }
  read.sums[own] = sum;
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_CEILING_CTA_CUH_
