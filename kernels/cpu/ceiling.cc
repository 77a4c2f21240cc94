#include "kernels/cpu/ceiling.h"

#include <algorithm>

#include "kernels/cpu/target.h"
#include "kernels/dtype.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/ceiling.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

uint64_t ReadBytes(const uint8_t* from, int64_t bytes) {
  const hn::ScalableTag<uint64_t> d;
  constexpr int64_t kStep = HWY_LANES(uint64_t) * 8;
  auto a = hn::Zero(d);
  auto b = hn::Zero(d);
  int64_t at = 0;
  for (; at + 4 * kStep <= bytes; at += 4 * kStep) {
    const auto* const words = reinterpret_cast<const uint64_t*>(from + at);
    a = hn::Xor(a, hn::Xor(hn::LoadU(d, words), hn::LoadU(d, words + kStep / 8)));
    b = hn::Xor(b, hn::Xor(hn::LoadU(d, words + kStep / 4), hn::LoadU(d, words + kStep * 3 / 8)));
  }
  uint64_t rest = hn::GetLane(hn::SumOfLanes(d, hn::Xor(a, b)));
  for (; at < bytes; ++at) rest ^= from[at];
  return rest;
}

int64_t MultiplyAdds(int64_t rounds) {
  constexpr int kSums = 12;
  const hn::ScalableTag<float> d;
  hn::Vec<decltype(d)> sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = hn::Set(d, static_cast<float>(i));
  const auto x = hn::Set(d, 0.999f);
  const auto y = hn::Set(d, 0.001f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sums[i] = hn::MulAdd(sums[i], x, y);
  }
  for (int i = 1; i < kSums; ++i) sums[0] = hn::Add(sums[0], sums[i]);
  // Never negative, which the compiler does not know.
  const bool used = hn::GetLane(hn::SumOfLanes(d, sums[0])) >= 0.0f;
  return used ? rounds * kSums * HWY_LANES(float) * 2 : 0;
}

#if HWY_TARGET == HWY_AVX3 && HWY_COMPILER_GCC_ACTUAL

__attribute__((target("avx512bf16"))) int64_t Bf16Dots(int64_t rounds) {
  constexpr int kSums = 12;
  __m512 sums[kSums];
  for (int i = 0; i < kSums; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512i ones = _mm512_set1_epi16(0x3f80);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)ones, (__m512bh)ones);
    }
  }
  for (int i = 1; i < kSums; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_reduce_add_ps(sums[0]) >= 0.0f ? rounds * kSums * 16 * 4 : 0;
}

#else

int64_t Bf16Dots(int64_t /*rounds*/) { return 0; }

#endif

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpager::kernels {
namespace {

HWY_EXPORT(ReadBytes);
HWY_EXPORT(MultiplyAdds);
HWY_EXPORT(Bf16Dots);

// The rows of a page, which may lie side by side along one axis or both.
struct RowBlock {
  const uint8_t* base;
  int64_t outer_count, outer_bytes, inner_count, inner_bytes, row_bytes;
};

uint64_t ReadRows(RowBlock rows) {
  if (rows.inner_bytes == rows.row_bytes) {
    rows.row_bytes *= rows.inner_count;
    rows.inner_count = 1;
  }
  if (rows.inner_count == 1 && rows.outer_bytes == rows.row_bytes) {
    rows.row_bytes *= rows.outer_count;
    rows.outer_count = 1;
  }
  uint64_t sum = 0;
  for (int64_t i = 0; i < rows.outer_count; ++i) {
    for (int64_t j = 0; j < rows.inner_count; ++j) {
      sum ^= HWY_DYNAMIC_DISPATCH(ReadBytes)(
          rows.base + i * rows.outer_bytes + j * rows.inner_bytes, rows.row_bytes);
    }
  }
  return sum;
}

uint64_t ReadPage(const PagedKv& kv, const void* data, const PageStrides& strides, int32_t dim,
                  int64_t frame, int64_t token, int64_t tokens) {
  const auto element = static_cast<int64_t>(ElementBytes(kv.dtype));
  RowBlock rows = {};
  rows.base =
      static_cast<const uint8_t*>(data) + (frame * strides.page + token * strides.token) * element;
  const bool tokens_first = strides.token >= strides.head;
  rows.outer_count = tokens_first ? tokens : kv.kv_heads;
  rows.inner_count = tokens_first ? kv.kv_heads : tokens;
  rows.outer_bytes = (tokens_first ? strides.token : strides.head) * element;
  rows.inner_bytes = (tokens_first ? strides.head : strides.token) * element;
  rows.row_bytes = dim * element;
  return ReadRows(rows);
}

}  // namespace

uint64_t CpuReadRange(const PagedKv& kv, int32_t entry, TokenRange range) {
  uint64_t sum = 0;
  for (int64_t token = range.first; token < range.end;) {
    const int64_t in_page = token % kv.page_tokens;
    const int64_t count = std::min(kv.page_tokens - in_page, range.end - token);
    const int64_t frame = kv.indices[kv.indptr[entry] + token / kv.page_tokens];
    sum ^= ReadPage(kv, kv.k_data, kv.k, kv.head_dim_k, frame, in_page, count);
    if (!SharesRows(kv)) {
      sum ^= ReadPage(kv, kv.v_data, kv.v, kv.head_dim_v, frame, in_page, count);
    }
    token += count;
  }
  return sum;
}

int64_t CpuMultiplyAdds(int64_t rounds) { return HWY_DYNAMIC_DISPATCH(MultiplyAdds)(rounds); }

int64_t CpuBf16Dots(int64_t rounds) {
  return internal::UsesBf16Dot() ? HWY_DYNAMIC_DISPATCH(Bf16Dots)(rounds) : 0;
}

}  // namespace kvpager::kernels
#endif
