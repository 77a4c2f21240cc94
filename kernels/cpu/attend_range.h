// kernels/cpu/attend_range.h
//
// One entry, some of its tokens, one element type: what each attend_<type>.cc offers, compiled for
// every instruction set and chosen at run time.

#ifndef KVPAGER_KERNELS_CPU_ATTEND_RANGE_H_
#define KVPAGER_KERNELS_CPU_ATTEND_RANGE_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/attention_state.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels::internal {

// `states` has one element per row of the entry: query tokens x query heads. REQUIRES: kv.dtype is
// that of the name.
using AttendRangeFunction = void (*)(const PagedKv& kv, const AttentionQuery& query, int32_t entry,
                                     TokenRange range, AttentionState<float>* states);

void AttendRangeF16(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
                    AttentionState<float>* states);
void AttendRangeBf16(const PagedKv& kv, const AttentionQuery& query, int32_t entry,
                     TokenRange range, AttentionState<float>* states);
void AttendRangeF32(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
                    AttentionState<float>* states);
void AttendRangeF8(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
                   AttentionState<float>* states);

}  // namespace kvpager::kernels::internal

#endif  // KVPAGER_KERNELS_CPU_ATTEND_RANGE_H_
