// kernels/cpu/values-inl.h
//
// Weights times V rows, added to the states: the last third of attention. A few rows by a few
// registers of the head dimension are summed over all tokens of the block in registers; each V
// element is converted once for all rows.

#include "hwy/highway.h"
#include "kernels/attention_state.h"
#include "kernels/cpu/logits-inl.h"

#if defined(KVPAGER_KERNELS_CPU_VALUES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPAGER_KERNELS_CPU_VALUES_INL_H_
#undef KVPAGER_KERNELS_CPU_VALUES_INL_H_
#else
#define KVPAGER_KERNELS_CPU_VALUES_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

// Registers of the head dimension that kRows rows are summed over at once.
template <int kRows>
inline constexpr int kWidth = kRows == 1     ? 8
                              : kLanes >= 16 ? (kRows == 2 ? 8 : (kRows <= 4 ? 4 : 2))
                                             : (kRows == 2 ? 4 : 2);

// Rows lie so far apart that hardware does not foresee the next one: it is asked for so many tokens
// ahead. Where many rows are summed there is time enough.
inline constexpr int32_t kNearTokens = 8;
static_assert(kNearTokens <= internal::kTilePadding);

// o := o * correction + weights x V rows, over kDims registers from element `at` on.
template <typename Row, int kRows, int kDims>
HWY_INLINE void AddSlice(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT corrections,
                         const HeadRows& values, int32_t tokens, int32_t at,
                         AttentionState<float>* const* HWY_RESTRICT states) {
  constexpr int kTokens = kTileTokens<kRows>;
  constexpr int64_t kBytes = kDims * kLanes * Row::kBytes;  // Of a row, in this slice.
  const Floats d;
  Vector sums[kRows * kDims];
#pragma GCC unroll 16
  for (int i = 0; i < kRows * kDims; ++i) sums[i] = hn::Zero(d);
  for (int32_t first = 0; first < tokens; first += kTokens) {
    if constexpr (!kFetchesEvenly<Row, kRows>) values.ahead->Fetch(kTokens * kBytes);
    for (int t = 0; t < kTokens; ++t) {
      const uint8_t* const row = values.Row(first + t) + at * Row::kBytes;
      if constexpr (kRows <= 4) {
        values.PrefetchNear(first + t + kNearTokens, at * Row::kBytes, kBytes);
      }
      if constexpr (kFetchesEvenly<Row, kRows>) values.ahead->Fetch(kBytes);
      Vector v[kDims];
#pragma GCC unroll 16
      for (int i = 0; i < kDims; ++i) v[i] = Row::Load(row + i * kLanes * Row::kBytes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        Vector weight = hn::Set(d, weights[r * kTokens + t]);
        KeepInRegister(weight);
#pragma GCC unroll 16
        for (int i = 0; i < kDims; ++i) {
          sums[r * kDims + i] = hn::MulAdd(weight, v[i], sums[r * kDims + i]);
        }
      }
    }
    weights += kLanes;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const Vector correction = hn::Set(d, corrections[r]);
#pragma GCC unroll 16
    for (int i = 0; i < kDims; ++i) {
      float* const o = states[r]->o + at + i * kLanes;
      hn::StoreU(hn::MulAdd(correction, hn::LoadU(d, o), sums[r * kDims + i]), d, o);
    }
  }
}

// The elements behind the last whole register.
template <typename Row, int kRows>
HWY_INLINE void AddRest(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT corrections,
                        const HeadRows& values, int32_t tokens, int32_t at, int32_t count,
                        AttentionState<float>* const* HWY_RESTRICT states) {
  constexpr int kTokens = kTileTokens<kRows>;
  const Floats d;
  alignas(64) float buffer[kLanes];
  for (int r = 0; r < kRows; ++r) {
    float* const o = states[r]->o + at;
    Vector sum = hn::Zero(d);
    for (int32_t token = 0; token < tokens; ++token) {
      const float weight = weights[token / kTokens * kLanes + r * kTokens + token % kTokens];
      sum = hn::MulAdd(hn::Set(d, weight),
                       LoadFirst<Row>(values.Row(token) + at * Row::kBytes, count), sum);
    }
    sum = hn::MulAdd(hn::Set(d, corrections[r]), LoadFirstFloats(o, count), sum);
    hn::Store(sum, d, buffer);
    std::memcpy(o, buffer, static_cast<size_t>(count) * sizeof(float));
  }
}

template <typename Row, int kRows>
HWY_NOINLINE void AddValues(const float* HWY_RESTRICT weights,
                            const float* HWY_RESTRICT corrections, int32_t dim,
                            const HeadRows& values, int32_t tokens,
                            AttentionState<float>* const* HWY_RESTRICT states) {
  constexpr int kDims = kWidth<kRows>;
  int32_t at = 0;
  for (; at + kDims * kLanes <= dim; at += kDims * kLanes) {
    AddSlice<Row, kRows, kDims>(weights, corrections, values, tokens, at, states);
  }
  if constexpr (kDims > 4) {
    for (; at + 4 * kLanes <= dim; at += 4 * kLanes) {
      AddSlice<Row, kRows, 4>(weights, corrections, values, tokens, at, states);
    }
  }
  for (; at + kLanes <= dim; at += kLanes) {
    AddSlice<Row, kRows, 1>(weights, corrections, values, tokens, at, states);
  }
  if (at < dim) AddRest<Row, kRows>(weights, corrections, values, tokens, at, dim - at, states);
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KVPAGER_KERNELS_CPU_VALUES_INL_H_
