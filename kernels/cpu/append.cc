#include "kernels/cpu/append.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/append.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/store-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

void StoreRow(Dtype dtype, const float* row, int32_t dim, void* data, int64_t offset) {
  switch (dtype) {
    case Dtype::kF16:
      return StoreAs<ToF16>(row, dim, static_cast<uint16_t*>(data) + offset);
    case Dtype::kBf16:
      return StoreAs<ToBf16>(row, dim, static_cast<uint16_t*>(data) + offset);
    case Dtype::kF32:
      return StoreAs<ToF32>(row, dim, static_cast<float*>(data) + offset);
    case Dtype::kF8E4m3:
      return StoreAs<ToF8>(row, dim, static_cast<uint8_t*>(data) + offset);
  }
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpager::kernels {

HWY_EXPORT(StoreRow);

void CpuAppendRange(const PagedKv& kv, int32_t entry, const NewTokens& tokens, TokenRange range) {
  const auto store = HWY_DYNAMIC_DISPATCH(StoreRow);
  const int64_t before = TokenCount(kv, entry) - tokens.count;
  for (int64_t i = range.first; i < range.end; ++i) {
    for (int32_t head = 0; head < kv.kv_heads; ++head) {
      const int64_t row = i * kv.kv_heads + head;
      store(kv.dtype, tokens.k + row * kv.head_dim_k, kv.head_dim_k, kv.k_data,
            RowOffset(kv, kv.k, entry, before + i, head));
      if (SharesRows(kv)) continue;
      store(kv.dtype, tokens.v + row * kv.head_dim_v, kv.head_dim_v, kv.v_data,
            RowOffset(kv, kv.v, entry, before + i, head));
    }
  }
}

void CpuAppend(const PagedKv& kv, int32_t entry, const NewTokens& tokens) {
  CpuAppendRange(kv, entry, tokens, {0, tokens.count});
}

}  // namespace kvpager::kernels
#endif
