#include "kernels/cpu/attend.h"

#include <algorithm>

#include "kernels/cpu/attend_range.h"

namespace kvpager::kernels {
namespace {

internal::AttendRangeFunction FunctionOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF16:
      return internal::AttendRangeF16;
    case Dtype::kBf16:
      return internal::AttendRangeBf16;
    case Dtype::kF32:
      return internal::AttendRangeF32;
    case Dtype::kF8E4m3:
      return internal::AttendRangeF8;
  }
  return nullptr;
}

}  // namespace

void CpuAttendRange(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
                    AttentionStates& states) {
  FunctionOf(kv.dtype)(kv, query, entry, range, states.data());
}

void CpuAttend(const PagedKv& kv, const AttentionQuery& query, const AttentionOutput& output) {
  int32_t rows_most = 0;
  for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
    rows_most = std::max(rows_most, QueryCount(query, entry) * query.query_heads);
  }
  AttentionStates states(rows_most, kv.head_dim_v);
  for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
    const int64_t row = int64_t{FirstQuery(query, entry)} * query.query_heads;
    states.Clear(QueryCount(query, entry) * query.query_heads);
    CpuAttendRange(kv, query, entry, {0, TokenCount(kv, entry)}, states);
    states.Finish(output.output + row * kv.head_dim_v,
                  output.lse == nullptr ? nullptr : output.lse + row);
  }
}

}  // namespace kvpager::kernels
