#include "kernels/cpu/attend_range.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attend_bf16.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/attend-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

void AttendBf16(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
                AttentionState<float>* states) {
  AttendRange<Bf16Row>(kv, query, entry, range, states);
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpager::kernels {

HWY_EXPORT(AttendBf16);

void internal::AttendRangeBf16(const PagedKv& kv, const AttentionQuery& query, int32_t entry,
                               TokenRange range, AttentionState<float>* states) {
  HWY_DYNAMIC_DISPATCH(AttendBf16)(kv, query, entry, range, states);
}

}  // namespace kvpager::kernels
#endif
