#include "kernels/cpu/attend_range.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attend_f16.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/attend-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

void AttendF16(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
               AttentionState<float>* states) {
  AttendRange<F16Row>(kv, query, entry, range, states);
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpager::kernels {

HWY_EXPORT(AttendF16);

void internal::AttendRangeF16(const PagedKv& kv, const AttentionQuery& query, int32_t entry,
                              TokenRange range, AttentionState<float>* states) {
  HWY_DYNAMIC_DISPATCH(AttendF16)(kv, query, entry, range, states);
}

}  // namespace kvpager::kernels
#endif
