// kernels/attention_states.h
//
// The states of all query rows of one entry: what a kernel adds ranges of tokens to, in any order,
// and what several threads or places compute apart and merge.
//
//   row = query token of the entry * query_heads + query head
//
// Ownership: owns its memory; allocates in the constructor only. Thread-safety: none.

#ifndef KVPAGER_KERNELS_ATTENTION_STATES_H_
#define KVPAGER_KERNELS_ATTENTION_STATES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "kernels/attention_state.h"

namespace kvpager::kernels {

class AttentionStates {
 public:
  // Empty states of `rows` rows.
  AttentionStates(int32_t rows, int32_t head_dim_v);

  // For an entry that has fewer rows than this has room for: makes `rows` of them empty, the others
  // take no part until the next call. REQUIRES: rows <= the constructor's.
  void Clear(int32_t rows);
  void Clear() { Clear(rows()); }
  // REQUIRES: as many rows, as wide.
  void Merge(const AttentionStates& part);
  // Writes [rows, head_dim_v] and, unless null, [rows].
  void Finish(float* output, float* lse) const;

  int32_t rows() const { return rows_; }
  int32_t head_dim_v() const { return head_dim_v_; }
  AttentionState<float>* data() { return states_.data(); }
  const AttentionState<float>* data() const { return states_.data(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(float* memory) const { operator delete[](memory, kAlignment); }
  };

  int32_t rows_;
  int32_t head_dim_v_;
  std::unique_ptr<float[], Free> outputs_;
  std::vector<AttentionState<float>> states_;
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_ATTENTION_STATES_H_
