// kernels/cpu/softmax-inl.h
//
// Logits of a block become weights, and the states of their rows move to the new maximum: the
// second third of attention. One maximum per row and block, not per token.
//
//   m' = max(m, logits)     c = exp(m - m')     weight = exp(logit - m')     d' = d * c + sum
//   weights

#include <limits>

#include "hwy/highway.h"
#include "kernels/attention_state.h"
#include "kernels/cpu/logits-inl.h"

#if defined(KVPAGER_KERNELS_CPU_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPAGER_KERNELS_CPU_SOFTMAX_INL_H_
#undef KVPAGER_KERNELS_CPU_SOFTMAX_INL_H_
#else
#define KVPAGER_KERNELS_CPU_SOFTMAX_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

// exp(x) for x <= 0, as 2^n 2^f: the polynomial is within 1e-7, and f is off by as much for each
// unit of x, which does not matter where the result is that small. 0 below -87, where float ends.
// NaN stays.
HWY_INLINE Vector ExpNonPositive(Vector x) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const Vector power = hn::Mul(x, hn::Set(d, 1.44269504f));
  const auto large_enough = hn::Not(hn::Lt(x, hn::Set(d, -87.0f)));
  const Vector n = hn::Round(power);
  const Vector f = hn::Sub(power, n);
  Vector p = hn::MulAdd(hn::Set(d, 1.3264724e-3f), f, hn::Set(d, 9.6715130e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.5507336e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.4022242e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.9314700e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  const Vector scaled = hn::Mul(p, hn::BitCast(d, exponent));
  return hn::IfThenElseZero(large_enough, scaled);
}

// Where a row has seen nothing yet, -infinity minus itself must not become NaN.
HWY_INLINE float OrZero(float m) { return m == -std::numeric_limits<float>::infinity() ? 0.0f : m; }

// Logits [tokens / kTokens, kLanes] to weights times `factor`, in place; updates m and d of the
// states, and leaves in `corrections` what their o is to be multiplied by.
template <int kRows>
HWY_NOINLINE void Softmax(int32_t tokens, float factor, float* HWY_RESTRICT logits,
                          AttentionState<float>* const* HWY_RESTRICT states,
                          float* HWY_RESTRICT corrections) {
  constexpr int kTokens = kTileTokens<kRows>;
  const Floats d;
  const int32_t floats = (tokens + kTokens - 1) / kTokens * kLanes;
  alignas(64) float lanes[kLanes] = {};
  alignas(64) float before[kLanes] = {};
  Vector largest = hn::LoadU(d, logits);
  for (int32_t i = kLanes; i < floats; i += kLanes) {
    largest = hn::Max(largest, hn::LoadU(d, logits + i));
  }
  hn::Store(largest, d, lanes);  // Spare lanes hold logits of 0, and weights that nobody reads.
  for (int r = 0; r < kRows; ++r) {
    float m = states[r]->m;
    for (int t = 0; t < kTokens; ++t) {
      const float logit = lanes[r * kTokens + t];
      m = logit > m ? logit : m;
    }
    for (int t = 0; t < kTokens; ++t) {
      lanes[r * kTokens + t] = OrZero(m);
      before[r * kTokens + t] = states[r]->m;
    }
    states[r]->m = m;
  }
  largest = hn::Load(d, lanes);
  const Vector correction = ExpNonPositive(hn::Sub(hn::Load(d, before), largest));
  Vector sum = hn::Zero(d);
  for (int32_t i = 0; i < floats; i += kLanes) {
    const Vector weight = ExpNonPositive(hn::Sub(hn::LoadU(d, logits + i), largest));
    sum = hn::Add(sum, weight);
    hn::StoreU(hn::Mul(weight, hn::Set(d, factor)), d, logits + i);
  }
  hn::Store(sum, d, lanes);
  hn::Store(correction, d, before);
  for (int r = 0; r < kRows; ++r) {
    float row_sum = 0;
    for (int t = 0; t < kTokens; ++t) row_sum += lanes[r * kTokens + t];
    corrections[r] = before[r * kTokens];
    states[r]->d = states[r]->d * corrections[r] + row_sum;
  }
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KVPAGER_KERNELS_CPU_SOFTMAX_INL_H_
