#include "kernels/attention_states.h"

namespace kvpager::kernels {

AttentionStates::AttentionStates(int32_t rows, int32_t head_dim_v)
    : rows_(rows),
      head_dim_v_(head_dim_v),
      outputs_(static_cast<float*>(operator new[](
          sizeof(float) * static_cast<size_t>(rows) * static_cast<size_t>(head_dim_v),
          kAlignment))),
      states_(static_cast<size_t>(rows)) {
  float* output = outputs_.get();
  for (AttentionState<float>& state : states_) {
    state.o = output;
    output += head_dim_v;
  }
  Clear();
}

void AttentionStates::Clear(int32_t rows) {
  rows_ = rows;
  for (int32_t i = 0; i < rows; ++i) ClearState(states_[static_cast<size_t>(i)], head_dim_v_);
}

void AttentionStates::Merge(const AttentionStates& part) {
  for (size_t i = 0; i < static_cast<size_t>(rows_); ++i) {
    MergeState(part.states_[i], states_[i], head_dim_v_);
  }
}

void AttentionStates::Finish(float* output, float* lse) const {
  for (size_t i = 0; i < static_cast<size_t>(rows_); ++i) {
    FinishState(states_[i], head_dim_v_, output + i * static_cast<size_t>(head_dim_v_),
                lse == nullptr ? nullptr : lse + i);
  }
}

}  // namespace kvpager::kernels
