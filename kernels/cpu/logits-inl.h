// kernels/cpu/logits-inl.h
//
// Logits of a few query rows over a block of tokens: the first third of attention.
//
// A tile is kRows query rows by kTokens tokens, as many pairs as a register has lanes, each with a
// register of partial sums. The last step adds up the lanes of all of them at once, which leaves
// one register of logits, in the order
//
//   tile     lane = row * kTokens + token      (a few lanes are spare where kRows is odd)
//
// in which they stay until they are weights and meet V (softmax-inl.h, values-inl.h).

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/rows-inl.h"

#if defined(KVPAGER_KERNELS_CPU_LOGITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPAGER_KERNELS_CPU_LOGITS_INL_H_
#undef KVPAGER_KERNELS_CPU_LOGITS_INL_H_
#else
#define KVPAGER_KERNELS_CPU_LOGITS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

// Query rows that are attended at the same time, at most: so many that the sums stay in registers.
inline constexpr int32_t kRowsMax = kLanes >= 16 ? 8 : (kLanes >= 4 ? 4 : 1);

template <int kRows>
inline constexpr int32_t kTileTokens = kLanes / kRows;

// Space for the logits of a block, and later its weights.
inline constexpr int32_t kTileFloatsMax = internal::kBlockTokens * kRowsMax;
static_assert(kTileTokens<1> <= internal::kTilePadding);

// Lane i of the result is the sum of the lanes of v[i].
HWY_INLINE Vector SumEach(const Vector* HWY_RESTRICT v);

#if HWY_TARGET == HWY_SCALAR

HWY_INLINE Vector SumEach(const Vector* HWY_RESTRICT v) { return v[0]; }

#else

// Of four vectors: every 128-bit block of the result has the four sums of that block.
HWY_INLINE Vector SumFour(const Vector* HWY_RESTRICT v, int32_t a, int32_t b, int32_t c,
                          int32_t e) {
  const Floats d;
  const hn::RepartitionToWide<Floats> dd;
  const auto ab = hn::BitCast(
      dd, hn::Add(hn::InterleaveLower(d, v[a], v[b]), hn::InterleaveUpper(d, v[a], v[b])));
  const auto ce = hn::BitCast(
      dd, hn::Add(hn::InterleaveLower(d, v[c], v[e]), hn::InterleaveUpper(d, v[c], v[e])));
  return hn::Add(hn::BitCast(d, hn::InterleaveLower(dd, ab, ce)),
                 hn::BitCast(d, hn::InterleaveUpper(dd, ab, ce)));
}

HWY_INLINE Vector SumEach(const Vector* HWY_RESTRICT v) {
  const Floats d;
  static_cast<void>(d);
#if HWY_MAX_BYTES == 16
  return SumFour(v, 0, 1, 2, 3);
#elif HWY_MAX_BYTES == 32
  const Vector x = SumFour(v, 0, 1, 2, 3);
  const Vector y = SumFour(v, 4, 5, 6, 7);
  return hn::Add(hn::ConcatLowerLower(d, y, x), hn::ConcatUpperUpper(d, y, x));
#else
  const Vector x = SumFour(v, 0, 1, 2, 3);
  const Vector z = SumFour(v, 4, 5, 6, 7);
  const Vector y = SumFour(v, 8, 9, 10, 11);
  const Vector w = SumFour(v, 12, 13, 14, 15);
  const Vector xy = hn::Add(hn::ConcatLowerLower(d, y, x), hn::ConcatUpperUpper(d, y, x));
  const Vector zw = hn::Add(hn::ConcatLowerLower(d, w, z), hn::ConcatUpperUpper(d, w, z));
  // Blocks: xy = x x y y, zw = z z w w; the result is x z y w.
  return hn::Add(hn::OddEvenBlocks(zw, xy), hn::SwapAdjacentBlocks(hn::OddEvenBlocks(xy, zw)));
#endif
}

#endif  // HWY_TARGET == HWY_SCALAR

// Query rows of at most so many elements are copied to where no register of them lies across two
// lines of cache: such loads take twice as long, and a tile of many rows loads little else.
inline constexpr int32_t kAlignedDimMax = 1024;

// Space for that; leaves in `queries` where the rows are now.
template <int kRows>
HWY_INLINE void AlignQueries(int32_t dim, const float** HWY_RESTRICT queries,
                             float* HWY_RESTRICT space) {
  if (dim > kAlignedDimMax) return;
  const Floats d;
  const int32_t stride = (dim + kLanes - 1) / kLanes * kLanes;
  for (int r = 0; r < kRows; ++r) {
    float* const to = space + r * stride;
    int32_t at = 0;
    for (; at + kLanes <= dim; at += kLanes) hn::Store(hn::LoadU(d, queries[r] + at), d, to + at);
    for (; at < dim; ++at) to[at] = queries[r][at];
    queries[r] = to;
  }
}

// One register of the head dimension, of all pairs of a tile.
template <typename Row, int kRows>
HWY_INLINE void AddProducts(const float* const* HWY_RESTRICT queries,
                            const uint8_t* const* HWY_RESTRICT rows, int32_t at,
                            Vector* HWY_RESTRICT sums) {
  constexpr int kTokens = kTileTokens<kRows>;
  Vector k[kTokens];
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) k[t] = Row::Load(rows[t] + at * Row::kBytes);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    Vector q = hn::LoadU(Floats(), queries[r] + at);
    if constexpr (kTokens > 1) KeepInRegister(q);
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      sums[r * kTokens + t] = hn::MulAdd(q, k[t], sums[r * kTokens + t]);
    }
  }
}

// The elements behind the last whole register.
template <typename Row, int kRows>
HWY_INLINE void AddLastProducts(const float* const* HWY_RESTRICT queries,
                                const uint8_t* const* HWY_RESTRICT rows, int32_t at, int32_t count,
                                Vector* HWY_RESTRICT sums) {
  constexpr int kTokens = kTileTokens<kRows>;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const Vector q = LoadFirstFloats(queries[r] + at, count);
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      const Vector k = LoadFirst<Row>(rows[t] + at * Row::kBytes, count);
      sums[r * kTokens + t] = hn::MulAdd(q, k, sums[r * kTokens + t]);
    }
  }
}

// When to fetch ahead: with one row memory is all that counts, and many lines at once are fastest;
// with a few, it takes as long as the sums, and lines come evenly between them; with many the sums
// take longer, and a branch among them costs more than it brings. Bytes take so long to convert
// that one row of them is like a few rows, and a few are like many.
template <typename Row, int kRows>
inline constexpr bool kFetchesEvenly = Row::kBytes == 1 ? kRows == 1 : kRows > 1 && kRows <= 4;

// The rows of a tile; asks for those of the next tile.
template <int kTokens>
HWY_INLINE void FindTile(const HeadRows& keys, int32_t first, int64_t bytes,
                         const uint8_t** HWY_RESTRICT rows) {
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) rows[t] = keys.Row(first + t);
  for (int t = 0; t < kTokens; ++t) keys.PrefetchNear(first + kTokens + t, 0, bytes);
}

// logits := factor * query rows x K rows, tile by tile. [tiles, kLanes]
template <typename Row, int kRows>
HWY_NOINLINE void Logits(const float* const* HWY_RESTRICT queries, int32_t dim, float factor,
                         const HeadRows& keys, int32_t tokens, float* HWY_RESTRICT logits) {
  constexpr int kTokens = kTileTokens<kRows>;
  const Floats d;
  for (int32_t first = 0; first < tokens; first += kTokens) {
    const uint8_t* rows[kTokens];
    FindTile<kTokens>(keys, first, dim * Row::kBytes, rows);
    if constexpr (!kFetchesEvenly<Row, kRows>) keys.ahead->Fetch(kTokens * dim * Row::kBytes);
    Vector sums[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) sums[i] = hn::Zero(d);
    int32_t at = 0;
    for (; at + kLanes <= dim; at += kLanes) {
      if constexpr (kFetchesEvenly<Row, kRows>) keys.ahead->Fetch(kTokens * kLanes * Row::kBytes);
      AddProducts<Row, kRows>(queries, rows, at, sums);
    }
    if (at < dim) AddLastProducts<Row, kRows>(queries, rows, at, dim - at, sums);
    hn::StoreU(hn::Mul(SumEach(sums), hn::Set(d, factor)), d, logits + first / kTokens * kLanes);
  }
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KVPAGER_KERNELS_CPU_LOGITS_INL_H_
