// kernels/cpu/logits_bf16-inl.h
//
// Logits of bfloat16 K rows by the dot-product instruction of AVX-512, which multiplies two
// elements per lane at the price of one and needs no conversion. Highway 1.0 does not offer it, so
// it is written out here, behind a check at run time (target.h).
//
// For queries that are bfloat16 themselves, as those of engines are, handed over as floats: then
// the products are exact. Others take the way of logits-inl.h: two instructions for the two halves
// of a float were measured to be slower than that.

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/logits-inl.h"
#include "kernels/cpu/rows-inl.h"

#if defined(KVPAGER_KERNELS_CPU_LOGITS_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPAGER_KERNELS_CPU_LOGITS_BF16_INL_H_
#undef KVPAGER_KERNELS_CPU_LOGITS_BF16_INL_H_
#else
#define KVPAGER_KERNELS_CPU_LOGITS_BF16_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

inline constexpr int32_t kDotElements = 32;  // Of a register.
inline constexpr int32_t kDotDimMax = 1024;

inline bool FitsDots(int32_t dim) { return dim % kDotElements == 0 && dim <= kDotDimMax; }

#if HWY_TARGET == HWY_AVX3 && HWY_COMPILER_GCC_ACTUAL

#define KVPAGER_BF16_DOT __attribute__((target("avx512bf16")))

// Query rows as bfloat16, [kRows, dim]; says whether they lost nothing.
template <int kRows>
KVPAGER_BF16_DOT HWY_NOINLINE bool NarrowQueries(const float* const* HWY_RESTRICT queries,
                                                 int32_t dim, uint16_t* HWY_RESTRICT narrow) {
  __mmask16 lost = 0;
  for (int r = 0; r < kRows; ++r) {
    for (int32_t at = 0; at < dim; at += 16) {
      const __m512 query = _mm512_loadu_ps(queries[r] + at);
      const auto half = (__m256i)_mm512_cvtneps_pbh(query);
      const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
      lost |= _mm512_cmp_ps_mask(query, _mm512_castsi512_ps(bits), _CMP_NEQ_UQ);
      _mm256_store_si256(reinterpret_cast<__m256i*>(narrow + r * dim + at), half);
    }
  }
  return lost == 0;
}

// Like AddProducts: 32 elements of the head dimension, of all pairs of a tile.
template <int kRows>
KVPAGER_BF16_DOT HWY_INLINE void AddDots(const uint16_t* HWY_RESTRICT queries, int32_t dim,
                                         const uint8_t* const* HWY_RESTRICT rows, int32_t at,
                                         Vector* HWY_RESTRICT sums) {
  constexpr int kTokens = kTileTokens<kRows>;
  __m512i k[kTokens];
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) k[t] = _mm512_loadu_si512(rows[t] + at * Bf16Row::kBytes);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    __m512i q = _mm512_load_si512(queries + r * dim + at);
    if constexpr (kTokens > 1) asm("" : "+v"(q));
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      Vector& sum = sums[r * kTokens + t];
      sum.raw = _mm512_dpbf16_ps(sum.raw, (__m512bh)q, (__m512bh)k[t]);
    }
  }
}

// Like Logits, or false, and nothing is done. REQUIRES: FitsDots(dim), and that the machine has the
// instruction.
template <int kRows>
KVPAGER_BF16_DOT HWY_NOINLINE bool DotLogits(const float* const* HWY_RESTRICT queries, int32_t dim,
                                             float factor, const HeadRows& keys, int32_t tokens,
                                             float* HWY_RESTRICT logits) {
  constexpr int kTokens = kTileTokens<kRows>;
  const Floats d;
  alignas(64) uint16_t narrow[kRows * kDotDimMax];
  if (!NarrowQueries<kRows>(queries, dim, narrow)) return false;
  for (int32_t first = 0; first < tokens; first += kTokens) {
    const uint8_t* rows[kTokens];
    FindTile<kTokens>(keys, first, dim * Bf16Row::kBytes, rows);
    if constexpr (!kFetchesEvenly<Bf16Row, kRows>)
      keys.ahead->Fetch(kTokens * dim * Bf16Row::kBytes);
    Vector sums[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) sums[i] = hn::Zero(d);
    for (int32_t at = 0; at < dim; at += kDotElements) {
      if constexpr (kFetchesEvenly<Bf16Row, kRows>) {
        keys.ahead->Fetch(kTokens * kDotElements * Bf16Row::kBytes);
      }
      AddDots<kRows>(narrow, dim, rows, at, sums);
    }
    hn::StoreU(hn::Mul(SumEach(sums), hn::Set(d, factor)), d, logits + first / kTokens * kLanes);
  }
  return true;
}

#undef KVPAGER_BF16_DOT

#else

template <int kRows>
HWY_INLINE bool DotLogits(const float* const* /*queries*/, int32_t /*dim*/, float /*factor*/,
                          const HeadRows& /*keys*/, int32_t /*tokens*/, float* /*logits*/) {
  return false;
}

#endif

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KVPAGER_KERNELS_CPU_LOGITS_BF16_INL_H_
