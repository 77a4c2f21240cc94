// kernels/cuda/merge_cta.cuh
//
// Makes results of parts: what one thread block of each merge kernel does. A state is (m, d, o) as
// in attention_state.h; merging is the sum of all o and d, each brought to the largest m.
//
//   MergeParts     parts of a plan's row tiles    grid (merges of the plan, KV heads, rows)
//   MergeResults   two results of the same rows: a result with its log-sum-exp is the state
//                  m = lse, d = 1, o = output     grid (blocks), rows in turn

#ifndef KVPAGER_KERNELS_CUDA_MERGE_CTA_CUH_
#define KVPAGER_KERNELS_CUDA_MERGE_CTA_CUH_

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cuda/attend_cta.cuh"
#include "kernels/cuda/attend_params.h"
#include "kernels/cuda/merge.h"
#include "kernels/cuda/thread.cuh"

namespace kvpager::kernels {

template <typename Thread>
KVPAGER_DEVICE void MergeParts(const Thread& thread, const AttendParams& params) {
  const AttendMerge merge = params.plan.merges[thread.block_x()];
  const int32_t row = thread.block_z();
  if (row >= merge.row_count) return;
  const AttendWorkspace& workspace = params.workspace;
  const int32_t head_dim = params.kv.head_dim_v;
  const auto part_row = [&](int32_t part) {
    return PartRow(workspace, params.kv.kv_heads, merge.part_first + part, thread.block_y(), row);
  };
  float largest = -std::numeric_limits<float>::infinity();
  for (int32_t part = 0; part < merge.part_count; ++part) {
    const float other = workspace.weights[2 * part_row(part)];
    largest = other > largest ? other : largest;
  }
  const int64_t target =
      QueryRow(params.kv, params.query, merge.entry, thread.block_y(), merge.row_first + row);
  for (int32_t column = thread.index(); column < head_dim; column += thread.count()) {
    float sum = 0;
    float total = 0;
    for (int32_t part = 0; part < merge.part_count; ++part) {
      const int64_t at = part_row(part);
      const float part_total = workspace.weights[2 * at + 1];
      if (part_total == 0.0f) continue;
      const float factor = Exp2(workspace.weights[2 * at] - largest);
      sum += factor * workspace.sums[at * head_dim + column];
      total += factor * part_total;
    }
    WriteResult(params.output, target, head_dim, column, sum, largest, total);
  }
}

template <typename Thread>
KVPAGER_DEVICE void MergeResults(const Thread& thread, const CudaMergeCall& call) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  for (int64_t row = thread.block_x(); row < call.rows; row += thread.blocks_x()) {
    const float part = call.part_lse[row];
    const float target = call.target.lse[row];
    thread.Sync();  // All have read the log-sum-exp before it changes.
    if (part == kNone) continue;
    const float largest = part > target ? part : target;
    const float part_weight = std::exp(part - largest);
    const float target_weight = target == kNone ? 0.0f : std::exp(target - largest);
    const float total = part_weight + target_weight;
    for (int32_t i = thread.index(); i < call.head_dim_v; i += thread.count()) {
      const int64_t at = row * call.head_dim_v + i;
      call.target.output[at] =
          (call.target.output[at] * target_weight + call.part_output[at] * part_weight) / total;
    }
    if (thread.index() == 0) call.target.lse[row] = largest + std::log(total);
  }
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_MERGE_CTA_CUH_
