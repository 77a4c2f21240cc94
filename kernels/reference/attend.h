// kernels/reference/attend.h
//
// Attention written as the formula says, in double, with every mask spelled out token by token: the
// oracle of every other kernel. Slow on purpose; nothing here is shared with what it judges, except
// the addressing of paged_kv.h and the meaning of attention.h.

#ifndef KVPAGER_KERNELS_REFERENCE_ATTEND_H_
#define KVPAGER_KERNELS_REFERENCE_ATTEND_H_

#include <cstdint>
#include <vector>

#include "kernels/attention.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// All query tokens and heads of all entries. Rows that see no token give zeros, lse -infinity.
void ReferenceAttend(const PagedKv& kv, const AttentionQuery& query, const AttentionOutput& output);

// One query token and head of an entry: for samples of what would take too long as a whole.
struct ReferenceRow {
  int32_t entry = 0;
  int32_t token = 0;  // Of the entry's query tokens.
  int32_t head = 0;   // Query head.
};
struct ReferenceResult {
  std::vector<float> output;  // [head_dim_v]
  float lse = 0;
};
ReferenceResult ReferenceAttendRow(const PagedKv& kv, const AttentionQuery& query,
                                   const ReferenceRow& row);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_REFERENCE_ATTEND_H_
