// kernels/cuda/append_cta.cuh
//
// What a thread of the append kernel does: a warp takes a row of K and one of V at a time, a lane
// every 32nd element.

#ifndef KVPAGER_KERNELS_CUDA_APPEND_CTA_CUH_
#define KVPAGER_KERNELS_CUDA_APPEND_CTA_CUH_

#include <cstdint>

#include "kernels/cuda/append.h"
#include "kernels/cuda/thread.cuh"
#include "kernels/dtype.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// The last entry that starts at `token` or before: the one that has it.
constexpr int32_t EntryOfToken(const int32_t* indptr, int32_t batch_size, int32_t token) {
  if (indptr == nullptr) return token;
  int32_t low = 0;
  int32_t high = batch_size - 1;
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    if (indptr[middle] <= token) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

KVPAGER_DEVICE void StoreFloat(Dtype dtype, void* data, int64_t index, float value) {
  switch (dtype) {
    case Dtype::kF16:
      static_cast<uint16_t*>(data)[index] = FloatToF16(value);
      return;
    case Dtype::kBf16:
      static_cast<uint16_t*>(data)[index] = FloatToBf16(value);
      return;
    case Dtype::kF32:
      static_cast<float*>(data)[index] = value;
      return;
    case Dtype::kF8E4m3:
      static_cast<uint8_t*>(data)[index] = FloatToF8E4m3(value);
      return;
  }
}

template <typename Thread>
KVPAGER_DEVICE void AppendRows(const Thread& thread, const PagedKv& kv,
                               const CudaNewTokens& tokens) {
  const int32_t warps = thread.count() / kWarpLanes;
  const int64_t rows = int64_t{tokens.count} * kv.kv_heads;
  for (int64_t row = int64_t{thread.block_x()} * warps + thread.warp(); row < rows;
       row += int64_t{thread.blocks_x()} * warps) {
    const auto token = static_cast<int32_t>(row / kv.kv_heads);
    const auto head = static_cast<int32_t>(row % kv.kv_heads);
    const int32_t entry = EntryOfToken(tokens.indptr, kv.batch_size, token);
    const int32_t end = tokens.indptr == nullptr ? token + 1 : tokens.indptr[entry + 1];
    const int64_t place = TokenCount(kv, entry) - (end - token);
    const int64_t k = RowOffset(kv, kv.k, entry, place, head);
    for (int32_t i = thread.lane(); i < kv.head_dim_k; i += kWarpLanes) {
      StoreFloat(kv.dtype, kv.k_data, k + i, tokens.k[row * kv.head_dim_k + i]);
    }
    if (SharesRows(kv)) continue;
    const int64_t v = RowOffset(kv, kv.v, entry, place, head);
    for (int32_t i = thread.lane(); i < kv.head_dim_v; i += kWarpLanes) {
      StoreFloat(kv.dtype, kv.v_data, v + i, tokens.v[row * kv.head_dim_v + i]);
    }
  }
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_APPEND_CTA_CUH_
