// kernels/cpu/decode_range.h
//
// One entry, some tokens: the signature that each instruction set implements in a source file of
// its own, out of the one body in decode_body.h.

#ifndef KVPAGER_KERNELS_CPU_DECODE_RANGE_H_
#define KVPAGER_KERNELS_CPU_DECODE_RANGE_H_

#include "kernels/attention_state.h"
#include "kernels/decode_query.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels::internal {

// `states` has one element per query head.
using DecodeRangeFunction = void (*)(const PagedKv& kv, const DecodeQuery& query, int32_t entry,
                                     TokenRange range, AttentionState<float>* states);

void DecodeRangePortable(const PagedKv& kv, const DecodeQuery& query, int32_t entry,
                         TokenRange range, AttentionState<float>* states);
void DecodeRangeAvx2(const PagedKv& kv, const DecodeQuery& query, int32_t entry, TokenRange range,
                     AttentionState<float>* states);
void DecodeRangeAvx512(const PagedKv& kv, const DecodeQuery& query, int32_t entry, TokenRange range,
                       AttentionState<float>* states);

}  // namespace kvpager::kernels::internal

#endif  // KVPAGER_KERNELS_CPU_DECODE_RANGE_H_
