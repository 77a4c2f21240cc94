// kernels/cpu/split_attention.h
//
// One batch by several threads, which are the caller's, after a plan:
//
//   all workers at once   Attend(kv, query, worker)
//   then, again at once   Finish(query, output, worker)   merges the pieces of its share of the
//   entries
//
// The states are kept from layer to layer: no allocation after the constructor.
//
// Ownership: owns the states of all pieces; borrows nothing. Thread-safety: calls with different
// workers; every Attend of a layer returns before the first Finish starts. Errors: none.

#ifndef KVPAGER_KERNELS_CPU_SPLIT_ATTENTION_H_
#define KVPAGER_KERNELS_CPU_SPLIT_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "kernels/attention.h"
#include "kernels/attention_states.h"
#include "kernels/work_plan.h"

namespace kvpager::kernels {

class SplitAttention {
 public:
  // For all layers whose kv and query have these lengths and heads.
  SplitAttention(const PagedKv& kv, const AttentionQuery& query, WorkPlan plan);

  void Attend(const PagedKv& kv, const AttentionQuery& query, int32_t worker);
  void Finish(const AttentionQuery& query, const AttentionOutput& output, int32_t worker);

  // The states of an entry, merged into one, instead of Finish: for what is attended elsewhere too.
  AttentionStates& MergeEntry(int32_t entry);

  const WorkPlan& plan() const { return plan_; }

 private:
  WorkPlan plan_;
  std::vector<AttentionStates> states_;  // One per piece.
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CPU_SPLIT_ATTENTION_H_
