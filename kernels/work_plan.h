// kernels/work_plan.h
//
// Which tokens of which entries each of several workers attends, so that all of them are busy on
// one long sequence as well as on many short ones. A pure function of lengths and masks, made once
// per step and used for all its layers.
//
//   pages that are seen   entry 0 ############ entry 1 ## entry 2 ######
//   three workers         0 0 0 0 0 0 1 1 1 1 1 1 1 1 1 1 2 2 2 2 2 2
//
// Units: tokens, counted over an entry's pages; pieces start and end at pages. Thread-safety: plain
// values. Errors: none.

#ifndef KVPAGER_KERNELS_WORK_PLAN_H_
#define KVPAGER_KERNELS_WORK_PLAN_H_

#include <cstdint>
#include <vector>

#include "kernels/attention.h"

namespace kvpager::kernels {

struct WorkPiece {
  int32_t entry = 0;
  TokenRange tokens;
};

struct WorkPlan {
  std::vector<WorkPiece> pieces;  // Ascending by entry and tokens, each worker's side by side.
  std::vector<int32_t>
      worker_first;  // [workers + 1]: worker w has the pieces from worker_first[w] on.
  std::vector<int32_t> entry_first;  // [batch_size + 1]: likewise of entries.

  int32_t workers() const { return static_cast<int32_t>(worker_first.size()) - 1; }
};

// Balanced by the pages that some query token sees times the query tokens. Every entry has at least
// one piece, an empty one if it has no tokens. REQUIRES: workers > 0.
WorkPlan PlanWork(const PagedKv& kv, const AttentionQuery& query, int32_t workers);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_WORK_PLAN_H_
