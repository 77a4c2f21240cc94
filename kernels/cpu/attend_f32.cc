#include "kernels/cpu/attend_range.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attend_f32.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/attend-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

void AttendF32(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
               AttentionState<float>* states) {
  AttendRange<F32Row>(kv, query, entry, range, states);
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpager::kernels {

HWY_EXPORT(AttendF32);

void internal::AttendRangeF32(const PagedKv& kv, const AttentionQuery& query, int32_t entry,
                              TokenRange range, AttentionState<float>* states) {
  HWY_DYNAMIC_DISPATCH(AttendF32)(kv, query, entry, range, states);
}

}  // namespace kvpager::kernels
#endif
