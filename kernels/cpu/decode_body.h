// kernels/cpu/decode_body.h
//
// The loops of the CPU decode, compiled once per instruction set. Included by one source file each,
// which is compiled with the flags of its set; everything here is static, and nothing from the
// standard library is instantiated, so that no wide instruction leaks into shared inline code.
//
// One tile is at most kTileTokens tokens of one page. Its K rows are converted to float once and
// meet all query heads of their group; then its V rows likewise.
//
//   logits[r][t] = scale * q[r] . k[t]        m' = max(m, logits)     c = exp(m - m')
//   p[r][t]      = exp(logits[r][t] - m')     d' = d * c + sum p      o' = o * c + sum p * v[t]

#ifndef KVPAGER_KERNELS_CPU_DECODE_BODY_H_
#define KVPAGER_KERNELS_CPU_DECODE_BODY_H_

#include "kernels/cpu/decode_range.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace kvpager::kernels::internal {

static constexpr int64_t kTileTokens = 16;
static constexpr int32_t kHeadDimMax = 512;  // Wider heads are attended in slices of it.

// exp(x) for x <= 0, to about 2 units in the last place; 0 below -87, where float ends.
static inline float ExpNonPositive(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  const float shifted = clamped * 1.44269504f + 12582912.0f;  // Rounds to an integer, low bits.
  const float n = shifted - 12582912.0f;
  float r = clamped - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t exponent = (static_cast<int32_t>(n) + 127) << 23;
  const float result = p * __builtin_bit_cast(float, exponent);
  return x < -87.0f ? 0.0f : result;
}

static inline void ConvertF16(const uint16_t* source, int32_t count, float* target) {
  int32_t i = 0;
#if defined(__AVX512F__)
  for (; i + 16 <= count; i += 16) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + i));
    // The masked form: the plain one trips over an uninitialised value in g++ 12's own header.
    _mm512_storeu_ps(target + i, _mm512_maskz_cvtph_ps(__mmask16{0xffff}, half));
  }
#elif defined(__F16C__)
  for (; i + 8 <= count; i += 8) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i));
    _mm256_storeu_ps(target + i, _mm256_cvtph_ps(half));
  }
#endif
  for (; i < count; ++i) {
    const uint32_t sign = static_cast<uint32_t>(source[i] & 0x8000u) << 16;
    const uint32_t magnitude = static_cast<uint32_t>(source[i] & 0x7fffu) << 13;
    const float scaled = __builtin_bit_cast(float, magnitude) * 0x1p112f;
    const uint32_t special = (source[i] & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
    target[i] = __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, scaled) | special | sign);
  }
}

// `count` elements at element `offset` of `data`, as floats.
static inline void ConvertRow(Dtype dtype, const void* data, int64_t offset, int32_t count,
                              float* target) {
  switch (dtype) {
    case Dtype::kF16:
      ConvertF16(static_cast<const uint16_t*>(data) + offset, count, target);
      return;
    case Dtype::kF32:
      __builtin_memcpy(target, static_cast<const float*>(data) + offset,
                       static_cast<size_t>(count) * sizeof(float));
      return;
    case Dtype::kBf16: {
      const uint16_t* row = static_cast<const uint16_t*>(data) + offset;
      for (int32_t i = 0; i < count; ++i) {
        target[i] = __builtin_bit_cast(float, static_cast<uint32_t>(row[i]) << 16);
      }
      return;
    }
    case Dtype::kF8E4m3: {
      const uint8_t* row = static_cast<const uint8_t*>(data) + offset;
      for (int32_t i = 0; i < count; ++i) {
        const uint32_t sign = static_cast<uint32_t>(row[i] & 0x80u) << 24;
        const uint32_t magnitude = static_cast<uint32_t>(row[i] & 0x7fu) << 20;
        const float scaled = __builtin_bit_cast(float, magnitude) * 0x1p120f;
        const uint32_t special = (row[i] & 0x7fu) == 0x7fu ? 0x7fc00000u : 0u;
        target[i] =
            __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, scaled) | special | sign);
      }
      return;
    }
  }
}

static inline float Dot(const float* a, const float* b, int32_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int32_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// Where one tile of one K and V head lies.
struct Tile {
  int64_t k_offset;  // Of its first row, in elements.
  int64_t v_offset;
  int32_t tokens;
};

// logits [tokens] of one query head, on top of what is there; K rows are in `rows`.
static inline void AddLogits(const float* query, const float* rows, int32_t dim, int32_t tokens,
                             float* logits) {
  for (int32_t t = 0; t < tokens; ++t) logits[t] += Dot(query, rows + t * dim, dim);
}

// Turns logits into weights, and rescales the state to the new maximum.
static inline void Weigh(float* logits, int32_t tokens, float scale, int32_t head_dim_v,
                         AttentionState<float>& state) {
  float largest = state.m;
  for (int32_t t = 0; t < tokens; ++t) {
    logits[t] *= scale;
    largest = logits[t] > largest ? logits[t] : largest;
  }
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int32_t t = 0; t < tokens; ++t) {
    logits[t] = ExpNonPositive(logits[t] - largest);
    sum += logits[t];
  }
  if (largest > state.m) {
    const float correction = state.d == 0.0f ? 0.0f : ExpNonPositive(state.m - largest);
    state.m = largest;
    state.d *= correction;
    for (int32_t i = 0; i < head_dim_v; ++i) state.o[i] *= correction;
  }
  state.d += sum;
}

// One register of floats.
#if defined(__AVX512F__)
#define KVPAGER_LANE_BYTES 64
#elif defined(__AVX2__)
#define KVPAGER_LANE_BYTES 32
#else
#define KVPAGER_LANE_BYTES 16
#endif
using Lanes = float __attribute__((vector_size(KVPAGER_LANE_BYTES), aligned(4)));
static constexpr int32_t kLaneCount = KVPAGER_LANE_BYTES / 4;

static inline Lanes LoadLanes(const float* from) { return *reinterpret_cast<const Lanes*>(from); }
static inline void StoreLanes(Lanes lanes, float* to) { *reinterpret_cast<Lanes*>(to) = lanes; }

// output += weights x rows, four registers of output at a time over all tokens.
static inline void AddWeighted(const float* weights, const float* rows, int32_t dim, int32_t tokens,
                               float* output) {
  int32_t first = 0;
  for (; first + 4 * kLaneCount <= dim; first += 4 * kLaneCount) {
    Lanes sums[4];
    for (int32_t i = 0; i < 4; ++i) sums[i] = LoadLanes(output + first + i * kLaneCount);
    for (int32_t t = 0; t < tokens; ++t) {
      const float* row = rows + t * dim + first;
      for (int32_t i = 0; i < 4; ++i) sums[i] += weights[t] * LoadLanes(row + i * kLaneCount);
    }
    for (int32_t i = 0; i < 4; ++i) StoreLanes(sums[i], output + first + i * kLaneCount);
  }
  for (int32_t t = 0; t < tokens; ++t) {
    const float* row = rows + t * dim;
    for (int32_t i = first; i < dim; ++i) output[i] += weights[t] * row[i];
  }
}

// At most this many query heads of a group at a time, so that the logits have a fixed place.
static constexpr int32_t kHeadsAtOnce = 16;

// `queries` are `heads` rows of head_dim_k, `states` their states.
static inline void AttendTile(const PagedKv& kv, const Tile& tile, const float* queries,
                              int32_t heads, float scale, AttentionState<float>* states) {
  alignas(64) float rows[kTileTokens * kHeadDimMax];
  alignas(64) float logits[kHeadsAtOnce][kTileTokens] = {};
  for (int32_t slice = 0; slice < kv.head_dim_k; slice += kHeadDimMax) {
    const int32_t left = kv.head_dim_k - slice;
    const int32_t dim = left < kHeadDimMax ? left : kHeadDimMax;
    for (int32_t t = 0; t < tile.tokens; ++t) {
      ConvertRow(kv.dtype, kv.k_data, tile.k_offset + t * kv.k.token + slice, dim, rows + t * dim);
    }
    for (int32_t r = 0; r < heads; ++r) {
      AddLogits(queries + r * kv.head_dim_k + slice, rows, dim, tile.tokens, logits[r]);
    }
  }
  for (int32_t r = 0; r < heads; ++r) {
    Weigh(logits[r], tile.tokens, scale, kv.head_dim_v, states[r]);
  }
  for (int32_t slice = 0; slice < kv.head_dim_v; slice += kHeadDimMax) {
    const int32_t left = kv.head_dim_v - slice;
    const int32_t dim = left < kHeadDimMax ? left : kHeadDimMax;
    for (int32_t t = 0; t < tile.tokens; ++t) {
      ConvertRow(kv.dtype, kv.v_data, tile.v_offset + t * kv.v.token + slice, dim, rows + t * dim);
    }
    for (int32_t r = 0; r < heads; ++r) {
      AddWeighted(logits[r], rows, dim, tile.tokens, states[r].o + slice);
    }
  }
}

static inline void DecodeRangeBody(const PagedKv& kv, const DecodeQuery& query, int32_t entry,
                                   TokenRange range, AttentionState<float>* states) {
  const int32_t ratio = query.query_heads / kv.kv_heads;
  const float* queries = query.query + int64_t{entry} * query.query_heads * kv.head_dim_k;
  for (int64_t token = range.first; token < range.end;) {
    const int64_t in_page = kv.page_tokens - token % kv.page_tokens;
    int64_t count = range.end - token;
    count = count < in_page ? count : in_page;
    count = count < kTileTokens ? count : kTileTokens;
    for (int32_t head = 0; head < kv.kv_heads; ++head) {
      const Tile tile = {RowOffset(kv, kv.k, entry, token, head),
                         RowOffset(kv, kv.v, entry, token, head), static_cast<int32_t>(count)};
      for (int32_t r = 0; r < ratio; r += kHeadsAtOnce) {
        const int32_t first = head * ratio + r;
        const int32_t heads = ratio - r < kHeadsAtOnce ? ratio - r : kHeadsAtOnce;
        AttendTile(kv, tile, queries + int64_t{first} * kv.head_dim_k, heads, query.scale,
                   states + first);
      }
    }
    token += count;
  }
}

}  // namespace kvpager::kernels::internal

#endif  // KVPAGER_KERNELS_CPU_DECODE_BODY_H_
