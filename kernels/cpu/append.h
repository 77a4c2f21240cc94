// kernels/cpu/append.h
//
// Writes the K and V of new tokens into the pages of a view, behind what is there: the view already
// counts them, so the new tokens are the last ones of their entry.

#ifndef KVPAGER_KERNELS_CPU_APPEND_H_
#define KVPAGER_KERNELS_CPU_APPEND_H_

#include <cstdint>

#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// The rows of the new tokens of one entry, converted to the pages' type on the way.
struct NewTokens {
  const float* k = nullptr;  // [count, kv_heads, head_dim_k]
  const float* v = nullptr;  // [count, kv_heads, head_dim_v]
  int64_t count = 0;
};

// REQUIRES: tokens.count <= TokenCount(kv, entry).
void CpuAppend(const PagedKv& kv, int32_t entry, const NewTokens& tokens);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CPU_APPEND_H_
