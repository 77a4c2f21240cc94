// kernels/cuda/attend_plan.h
//
// Which blocks of the attention kernel take which rows and tokens: made on the host, once per step,
// and used for all its layers.
//
//   row tiles      entry 0: ######## entry 1, rows 0-7: #### entry 1, rows 8-15: #####
//   five workers            0 0 0 0 1 1 1 1 2 2 2 2 3 3 3 3 4              (token tiles of a row
//                                                                           tile, each one unit)
//
// So every worker has the same number of tiles, on one long sequence as well as on many short ones
// (the "stream-K" split of Osama et al., 2023). A worker's work is done once per KV head.
//
//   AttendPlan plan(shape);              allocates; REQUIRES AttendPlan::Check(shape).ok()
//   each step:  plan.Update(kv, query)   host pointers; allocates nothing
//               copy plan.data(), plan.size_bytes() to the device, on the stream of the launches
//               CudaAttend(plan, ...)    for each layer (kernels/cuda/attend.h)
//
// Sizes and the launch depend on `shape` alone: a CUDA graph that has captured copy and launches
// stays valid from step to step.
//
// Ownership: owns the plan's bytes. Thread-safety: none. Errors: a CudaStatus; then the plan is as
// it was.

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_PLAN_H_
#define KVPAGER_KERNELS_CUDA_ATTEND_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/attention.h"
#include "kernels/cuda/attend_piece.h"
#include "kernels/cuda/attend_shape.h"
#include "kernels/cuda/status.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// What stays the same over the steps that share a plan's memory.
struct AttendPlanShape {
  Dtype dtype = Dtype::kF16;
  int32_t kv_heads = 0;
  int32_t query_heads = 0;
  int32_t head_dim_k = 0;
  int32_t head_dim_v = 0;
  int32_t batch_max = 0;
  int32_t query_tokens_max = 0;  // Of a batch.
  // Of the entry that has the most, 1 for a decode. With more the result is right as well, but K
  // and V are read several times.
  int32_t entry_query_tokens_max = 1;
  int32_t workers = 0;  // Blocks per KV head: CudaAttendWorkers.
};

// What a shape means for the launch.
struct AttendLaunch {
  AttendNumbers numbers;
  int32_t row_warps = 0;
  int32_t rows = 0;  // Of a row tile: row_warps * numbers.warp_rows.
};

class AttendPlan {
 public:
  static CudaStatus Check(const AttendPlanShape& shape);

  explicit AttendPlan(const AttendPlanShape& shape);

  // REQUIRES: `kv` and `query` are what CudaAttend will get, but with all arrays on the host; their
  // data pointers and those of queries are not looked at.
  CudaStatus Update(const PagedKv& kv, const AttentionQuery& query);

  const void* data() const { return bytes_.data(); }
  size_t size_bytes() const { return bytes_.size() * sizeof(uint64_t); }
  size_t workspace_bytes() const;

  const AttendPlanShape& shape() const { return shape_; }
  const AttendLaunch& launch() const { return launch_; }
  int32_t merges_max() const { return shape_.workers; }
  // Of the plan whose bytes lie at `data`.
  AttendPlanView ViewAt(const void* data) const;
  // Of the workspace at `data`.
  AttendWorkspace WorkspaceAt(void* data) const;

 private:
  struct Cut;

  int64_t parts_max() const { return 2 * int64_t{shape_.workers}; }
  int64_t pieces_max() const;
  CudaStatus CheckBatch(const PagedKv& kv, const AttentionQuery& query) const;
  void AddRowTile(const AttendPiece& whole, Cut& cut);

  AttendPlanShape shape_;
  AttendLaunch launch_;
  std::vector<uint64_t> bytes_;
};

// The tokens of an entry that rows [row_first, row_first + row_count) of a KV head see, or more.
SeenTokens SeenTokensOf(const PagedKv& kv, const AttentionQuery& query, const AttendPiece& rows);

// Null warps: no kernel for these.
AttendNumbers AttendNumbersOf(Dtype dtype, int32_t head_dim_k, int32_t head_dim_v,
                              int32_t warp_rows);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_PLAN_H_
