// kernels/attention_state.h
//
// What attention over a part of the tokens leaves behind, and how two such parts become one. The
// one definition for every kernel, so that pages may be attended in any order and anywhere.
//
//   m   the largest logit seen            (-infinity: nothing seen)
//   d   sum of exp(logit - m)
//   o   sum of exp(logit - m) * V row     [head_dim_v], not yet divided by d
//
//   result = o / d,  log-sum-exp = m + log(d)
//
// Merging is exact up to rounding, commutative and associative; the empty state is its neutral
// element. Ownership: `o` points to the caller's memory. Thread-safety: plain values.

#ifndef KVPAGER_KERNELS_ATTENTION_STATE_H_
#define KVPAGER_KERNELS_ATTENTION_STATE_H_

#include <cmath>
#include <cstdint>
#include <limits>

#if defined(__CUDACC__)
#define KVPAGER_HOST_DEVICE __host__ __device__
#else
#define KVPAGER_HOST_DEVICE
#endif

namespace kvpager::kernels {

template <typename Real>
struct AttentionState {
  Real m = -std::numeric_limits<Real>::infinity();
  Real d = 0;
  Real* o = nullptr;  // [head_dim_v]
};

template <typename Real>
KVPAGER_HOST_DEVICE inline void ClearState(AttentionState<Real>& state, int32_t head_dim_v) {
  state.m = -std::numeric_limits<Real>::infinity();
  state.d = 0;
  for (int32_t i = 0; i < head_dim_v; ++i) state.o[i] = 0;
}

// target := target merged with part.
template <typename Real>
KVPAGER_HOST_DEVICE inline void MergeState(const AttentionState<Real>& part,
                                           AttentionState<Real>& target, int32_t head_dim_v) {
  if (part.d == 0) return;  // Nothing seen there; also keeps -inf minus -inf out of what follows.
  const Real m = part.m > target.m ? part.m : target.m;
  const Real scale_part = std::exp(part.m - m);
  const Real scale_target = target.d == 0 ? Real{0} : std::exp(target.m - m);
  target.m = m;
  target.d = target.d * scale_target + part.d * scale_part;
  for (int32_t i = 0; i < head_dim_v; ++i) {
    target.o[i] = target.o[i] * scale_target + part.o[i] * scale_part;
  }
}

// Writes the result of one head; zeros and -infinity where nothing was seen. `lse` may be null.
template <typename Real, typename Out>
KVPAGER_HOST_DEVICE inline void FinishState(const AttentionState<Real>& state, int32_t head_dim_v,
                                            Out* output, Out* lse) {
  const Real inverse = state.d == 0 ? Real{0} : Real{1} / state.d;
  for (int32_t i = 0; i < head_dim_v; ++i) output[i] = static_cast<Out>(state.o[i] * inverse);
  if (lse != nullptr) {
    *lse = state.d == 0 ? -std::numeric_limits<Out>::infinity()
                        : static_cast<Out>(state.m + std::log(state.d));
  }
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_ATTENTION_STATE_H_
