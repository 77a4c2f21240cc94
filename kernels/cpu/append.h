// kernels/cpu/append.h
//
// Writes the K and V of new tokens into the pages of a view, behind what is there: the view already
// counts them, so the new tokens are the last ones of their entry.
//
// Thread-safety: calls for different entries, or with disjoint token ranges. Errors: none.

#ifndef KVPAGER_KERNELS_CPU_APPEND_H_
#define KVPAGER_KERNELS_CPU_APPEND_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// The rows of the new tokens of one entry, converted to the pages' type on the way: to nearest,
// ties to even.
struct NewTokens {
  const float* k = nullptr;  // [count, kv_heads, head_dim_k]
  const float* v = nullptr;  // [count, kv_heads, head_dim_v]; not used if V shares K's rows.
  int64_t count = 0;
};

// REQUIRES: tokens.count <= TokenCount(kv, entry).
void CpuAppend(const PagedKv& kv, int32_t entry, const NewTokens& tokens);

// Of the new tokens only [range.first, range.end), counted from 0: for several threads, or for new
// tokens of which only some lie in these pages.
void CpuAppendRange(const PagedKv& kv, int32_t entry, const NewTokens& tokens, TokenRange range);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CPU_APPEND_H_
