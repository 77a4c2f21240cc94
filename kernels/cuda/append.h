// kernels/cuda/append.h
//
// Writes the K and V of new tokens of a whole batch into its pages, behind what is there: kv
// already counts them, so the new tokens are the last ones of their entries. What cpu/append.h
// does, bit for bit.
//
// Ownership: everything is the caller's; all pointers are the device's. Thread-safety: any thread.
// Errors: a CudaStatus; nothing was launched. May be captured in a CUDA graph.

#ifndef KVPAGER_KERNELS_CUDA_APPEND_H_
#define KVPAGER_KERNELS_CUDA_APPEND_H_

#include <cstdint>

#include "kernels/cuda/status.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// Rows are converted to the pages' type: to nearest, ties to even.
struct CudaNewTokens {
  const float* k = nullptr;  // [count, kv_heads, head_dim_k]
  const float* v = nullptr;  // [count, kv_heads, head_dim_v]; not used if V shares K's rows.
  // [batch_size + 1]: entry i's are indptr[i] up to indptr[i + 1]. Null: one each.
  const int32_t* indptr = nullptr;
  int32_t count = 0;  // Of all entries.
};

// REQUIRES: no entry has more new tokens than tokens.
CudaStatus CudaAppend(const PagedKv& kv, const CudaNewTokens& tokens, CudaStream stream);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_APPEND_H_
