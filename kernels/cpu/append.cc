#include "kernels/cpu/append.h"

namespace kvpager::kernels {
namespace {

void StoreRow(Dtype dtype, const float* row, int32_t dim, void* data, int64_t offset) {
  for (int32_t i = 0; i < dim; ++i) StoreElement(dtype, data, offset + i, row[i]);
}

}  // namespace

void CpuAppend(const PagedKv& kv, int32_t entry, const NewTokens& tokens) {
  const int64_t first = TokenCount(kv, entry) - tokens.count;
  for (int64_t i = 0; i < tokens.count; ++i) {
    for (int32_t head = 0; head < kv.kv_heads; ++head) {
      const int64_t row = i * kv.kv_heads + head;
      StoreRow(kv.dtype, tokens.k + row * kv.head_dim_k, kv.head_dim_k, kv.k_data,
               RowOffset(kv, kv.k, entry, first + i, head));
      StoreRow(kv.dtype, tokens.v + row * kv.head_dim_v, kv.head_dim_v, kv.v_data,
               RowOffset(kv, kv.v, entry, first + i, head));
    }
  }
}

}  // namespace kvpager::kernels
