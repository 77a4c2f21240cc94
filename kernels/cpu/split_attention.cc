#include "kernels/cpu/split_attention.h"

#include <cstddef>
#include <utility>

#include "kernels/cpu/attend.h"

namespace kvpager::kernels {

SplitAttention::SplitAttention(const PagedKv& kv, const AttentionQuery& query, WorkPlan plan)
    : plan_(std::move(plan)) {
  states_.reserve(plan_.pieces.size());
  for (const WorkPiece& piece : plan_.pieces) {
    states_.emplace_back(QueryCount(query, piece.entry) * query.query_heads, kv.head_dim_v);
  }
}

void SplitAttention::Attend(const PagedKv& kv, const AttentionQuery& query, int32_t worker) {
  const auto first = static_cast<size_t>(plan_.worker_first[static_cast<size_t>(worker)]);
  const auto end = static_cast<size_t>(plan_.worker_first[static_cast<size_t>(worker) + 1]);
  for (size_t i = first; i < end; ++i) {
    states_[i].Clear();
    CpuAttendRange(kv, query, plan_.pieces[i].entry, plan_.pieces[i].tokens, states_[i]);
  }
}

AttentionStates& SplitAttention::MergeEntry(int32_t entry) {
  const auto first = static_cast<size_t>(plan_.entry_first[static_cast<size_t>(entry)]);
  const auto end = static_cast<size_t>(plan_.entry_first[static_cast<size_t>(entry) + 1]);
  for (size_t i = first + 1; i < end; ++i) states_[first].Merge(states_[i]);
  return states_[first];
}

void SplitAttention::Finish(const AttentionQuery& query, const AttentionOutput& output,
                            int32_t worker) {
  const auto entries = static_cast<int32_t>(plan_.entry_first.size()) - 1;
  for (int32_t entry = worker; entry < entries; entry += plan_.workers()) {
    const AttentionStates& states = MergeEntry(entry);
    const int64_t row = int64_t{FirstQuery(query, entry)} * query.query_heads;
    states.Finish(output.output + row * states.head_dim_v(),
                  output.lse == nullptr ? nullptr : output.lse + row);
  }
}

}  // namespace kvpager::kernels
