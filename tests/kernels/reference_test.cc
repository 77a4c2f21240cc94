// Proves the reference by hand: one token, masks on numbers that one can follow, and merging of
// states.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention_state.h"
#include "kernels/reference/attend.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {
namespace {

constexpr uint64_t kSeed = 5;

TEST(Reference, OfOneTokenIsItsVAndItsLogit) {
  PagedShape shape;
  shape.dtype = Dtype::kF32;
  const PagedFixture fixture(shape, {1}, kSeed);
  const PagedKv& kv = fixture.kv();
  for (int32_t head = 0; head < shape.query_heads; ++head) {
    const ReferenceResult result = ReferenceAttendRow(kv, fixture.query(), {0, 0, head});
    const int64_t k = RowOffset(kv, kv.k, 0, 0, head / 2);
    const int64_t v = RowOffset(kv, kv.v, 0, 0, head / 2);
    double logit = 0;
    for (int32_t i = 0; i < shape.head_dim_k; ++i) {
      logit += static_cast<double>(fixture.query().query[head * shape.head_dim_k + i]) *
               static_cast<double>(LoadElement(kv.dtype, kv.k_data, k + i)) / 8.0;
    }
    EXPECT_NEAR(result.lse, logit, 1e-5);
    for (int32_t i = 0; i < shape.head_dim_v; ++i) {
      EXPECT_EQ(result.output[static_cast<size_t>(i)], LoadElement(kv.dtype, kv.v_data, v + i));
    }
  }
}

// K is zero, so every seen token weighs the same, and V is 2^token: the output tells who was seen.
class Counting {
 public:
  Counting() : fixture_(Shape(), {kTokens}, {kQueries}, kSeed) {
    const PagedKv& kv = fixture_.kv();
    for (int64_t token = 0; token < kTokens; ++token) {
      StoreElement(kv.dtype, kv.k_data, RowOffset(kv, kv.k, 0, token, 0), 0.0f);
      StoreElement(kv.dtype, kv.v_data, RowOffset(kv, kv.v, 0, token, 0),
                   std::ldexp(1.0f, static_cast<int>(token)));
    }
  }

  // Bit i: query token `token` sees token i.
  uint32_t Seen(const AttentionMask& mask, int32_t token) const {
    AttentionQuery query = fixture_.query();
    query.mask = mask;
    const ReferenceResult result = ReferenceAttendRow(fixture_.kv(), query, {0, token, 0});
    return static_cast<uint32_t>(std::lround(result.output[0] * std::exp(result.lse)));
  }

 private:
  static constexpr int64_t kTokens = 10;
  static constexpr int32_t kQueries = 3;
  static PagedShape Shape() {
    PagedShape shape;
    shape.dtype = Dtype::kF32;
    shape.page_tokens = 4;
    shape.kv_heads = shape.query_heads = 1;
    shape.head_dim_k = shape.head_dim_v = 1;
    return shape;
  }
  PagedFixture fixture_;
};

TEST(Reference, IsCausal) {
  const Counting counting;
  EXPECT_EQ(counting.Seen({}, 0), 0b0011111111u);
  EXPECT_EQ(counting.Seen({}, 1), 0b0111111111u);
  EXPECT_EQ(counting.Seen({}, 2), 0b1111111111u);
}

TEST(Reference, WindowsKeepTheSinks) {
  const Counting counting;
  AttentionMask mask;
  mask.window_tokens = 3;
  mask.sink_tokens = 2;
  EXPECT_EQ(counting.Seen(mask, 0), 0b0011100011u);
  EXPECT_EQ(counting.Seen(mask, 2), 0b1110000011u);
}

TEST(Reference, DraftsSeeTheirBitsAndCountTheirWindowByThem) {
  const Counting counting;
  const std::vector<uint64_t> bits = {0b001, 0b011, 0b101};
  AttentionMask mask;
  mask.draft_bits = bits.data();
  mask.draft_words = 1;
  EXPECT_EQ(counting.Seen(mask, 0), 0b0011111111u);
  EXPECT_EQ(counting.Seen(mask, 1), 0b0111111111u);
  EXPECT_EQ(counting.Seen(mask, 2), 0b1011111111u);
  mask.window_tokens = 4;
  EXPECT_EQ(counting.Seen(mask, 2), 0b1011100000u);  // Two drafts, two tokens of context.
}

TEST(AttentionState, TheEmptyStateIsNeutral) {
  float none[2] = {0, 0};
  float some[2] = {1, 2};
  AttentionState<float> empty{-std::numeric_limits<float>::infinity(), 0, none};
  AttentionState<float> full{0.5f, 2.0f, some};
  MergeState(empty, full, 2);
  EXPECT_EQ(full.m, 0.5f);
  EXPECT_EQ(full.d, 2.0f);
  MergeState(full, empty, 2);
  EXPECT_EQ(empty.m, 0.5f);
  EXPECT_EQ(empty.d, 2.0f);
  EXPECT_EQ(none[1], 2.0f);
}

}  // namespace
}  // namespace kvpager::kernels
