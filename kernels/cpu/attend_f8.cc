#include "kernels/cpu/attend_range.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attend_f8.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/attend-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

void AttendF8(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
              AttentionState<float>* states) {
  AttendRange<F8Row>(kv, query, entry, range, states);
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpager::kernels {

HWY_EXPORT(AttendF8);

void internal::AttendRangeF8(const PagedKv& kv, const AttentionQuery& query, int32_t entry,
                             TokenRange range, AttentionState<float>* states) {
  HWY_DYNAMIC_DISPATCH(AttendF8)(kv, query, entry, range, states);
}

}  // namespace kvpager::kernels
#endif
