// kernels/cpu/attend.h
//
// Attention on a CPU, in float: decode, chunks of a prefill, trees of drafts, grouped query heads,
// latent attention. Query rows that share a K and V head share one pass over its rows.
//
//   whole     CpuAttend attends every entry and writes the result
//   in parts  AttentionStates::Clear, CpuAttendRange for any ranges in any order, Merge what other
//             threads or places computed, Finish
//   threads   split_attention.h
//
// All are the same code. Threads are the caller's: calls with different states are independent. The
// widest instruction set that this machine has is chosen at the first call (target.h).
//
// Units: tokens. Ownership: everything is the caller's. Errors: none; what attention.h REQUIRES.

#ifndef KVPAGER_KERNELS_CPU_ATTEND_H_
#define KVPAGER_KERNELS_CPU_ATTEND_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/attention_states.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// Attends one entry's query tokens to its tokens in `range`, as far as they see them, on top of
// what `states` holds. REQUIRES: states has QueryCount x query_heads rows.
void CpuAttendRange(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
                    AttentionStates& states);

// All entries, one after the other. Rows that see no token give zeros, and -infinity as lse.
void CpuAttend(const PagedKv& kv, const AttentionQuery& query, const AttentionOutput& output);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CPU_ATTEND_H_
