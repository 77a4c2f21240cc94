// kernels/cuda/merge.h
//
// Makes one result of two over the same query rows: what was attended here and what was attended
// elsewhere, on a device or on the host. A result with its log-sum-exp is a state of
// attention_state.h, so nothing is lost.
//
// Ownership: everything is the caller's; all pointers are the device's. Thread-safety: any thread.
// Errors: a CudaStatus; nothing was launched. May be captured in a CUDA graph.

#ifndef KVPAGER_KERNELS_CUDA_MERGE_H_
#define KVPAGER_KERNELS_CUDA_MERGE_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/cuda/status.h"

namespace kvpager::kernels {

struct CudaMergeCall {
  const float* part_output = nullptr;  // [rows, head_dim_v]
  const float* part_lse = nullptr;     // [rows], -infinity where nothing was seen.
  AttentionOutput target;              // The same; target := target merged with part.
  int64_t rows = 0;                    // Query tokens * query heads.
  int32_t head_dim_v = 0;
};

CudaStatus CudaMergeResults(const CudaMergeCall& call, CudaStream stream);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_MERGE_H_
