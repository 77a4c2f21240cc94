// Proves that a decode on the CPU says what the reference says, on every instruction set that this
// machine has: permuted pages, ragged lengths, poisoned tails and outputs, both layouts, all types,
// all ratios; and that attention split anywhere and merged in any order equals the whole.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/kernels/attention_check.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {
namespace {

constexpr uint64_t kSeed = 20240817;
constexpr Dtype kDtypes[] = {Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3};

std::string NameOf(Dtype dtype) {
  return "dtype " + std::to_string(static_cast<uint32_t>(dtype)) + ", seed " +
         std::to_string(kSeed);
}

class Decode : public OnEachTarget {};
KVPAGER_ON_EACH_TARGET(Decode);

TEST_P(Decode, EqualsTheReferenceForRaggedLengthsInBothLayouts) {
  for (const Layout layout : {Layout::kNhd, Layout::kHnd}) {
    for (const Dtype dtype : kDtypes) {
      PagedShape shape;
      shape.layout = layout;
      shape.dtype = dtype;
      // last_page_len 1, full, in between; one page, many; an entry without a page.
      const PagedFixture fixture(shape, {1, 16, 17, 0, 32, 33, 250, 15}, kSeed);
      ExpectMatches(fixture, NameOf(dtype) + (layout == Layout::kNhd ? " NHD" : " HND"));
    }
  }
}

TEST_P(Decode, EqualsTheReferenceForEveryGroupedQueryRatio) {
  for (int32_t ratio = 1; ratio <= 17; ++ratio) {
    PagedShape shape;
    shape.kv_heads = 3;
    shape.query_heads = shape.kv_heads * ratio;
    shape.dtype = kDtypes[ratio % 4];
    const PagedFixture fixture(shape, {5, 67, 1}, kSeed + static_cast<uint64_t>(ratio));
    ExpectMatches(fixture, "ratio " + std::to_string(ratio) + ", " + NameOf(shape.dtype));
  }
}

TEST_P(Decode, EqualsTheReferenceForEveryHeadDimension) {
  for (const int32_t dim : {64, 96, 128, 256}) {
    for (const Dtype dtype : kDtypes) {
      for (const int32_t ratio : {1, 2, 4, 8}) {
        PagedShape shape;
        shape.dtype = dtype;
        shape.query_heads = shape.kv_heads * ratio;
        shape.head_dim_k = shape.head_dim_v = dim;
        const PagedFixture fixture(shape, {70, 3}, kSeed);
        ExpectMatches(fixture, "dim " + std::to_string(dim) + ", " + NameOf(dtype));
      }
    }
  }
}

TEST_P(Decode, EqualsTheReferenceForQueriesOfTheTypeOfThePages) {
  PagedShape shape;
  shape.dtype = Dtype::kBf16;
  shape.query_heads = 14;
  PagedFixture fixture(shape, {100, 31}, kSeed);
  fixture.RoundQueries();
  ExpectMatches(fixture, NameOf(shape.dtype));
}

TEST_P(Decode, EqualsTheReferenceForOddHeadDimensionsAndPageSizes) {
  struct Case {
    int32_t page_tokens, dim_k, dim_v;
  };
  for (const Case& c : {Case{1, 64, 64}, Case{5, 7, 3}, Case{128, 128, 96}, Case{16, 576, 512},
                        Case{3, 1030, 1025}, Case{64, 40, 200}}) {
    for (const Dtype dtype : kDtypes) {
      PagedShape shape;
      shape.dtype = dtype;
      shape.page_tokens = c.page_tokens;
      shape.query_heads = 6;
      shape.head_dim_k = c.dim_k;
      shape.head_dim_v = c.dim_v;
      const PagedFixture fixture(shape, {c.page_tokens, 1, 2 * c.page_tokens + 1, 40}, kSeed);
      ExpectMatches(fixture, "head_dim_k " + std::to_string(c.dim_k) + ", " + NameOf(dtype));
    }
  }
}

TEST_P(Decode, OfLatentRowsThatServeAsKAndV) {
  for (const Dtype dtype : kDtypes) {
    PagedShape shape;
    shape.dtype = dtype;
    shape.shares_rows = true;
    shape.kv_heads = 1;
    shape.query_heads = 16;
    shape.head_dim_k = 576;
    shape.head_dim_v = 512;
    const PagedFixture fixture(shape, {1, 16, 65}, kSeed);
    ExpectMatches(fixture, NameOf(dtype));
  }
}

TEST_P(Decode, SplitAnywhereAndMergedInAnyOrderEqualsTheWhole) {
  PagedShape shape;
  shape.query_heads = 8;
  constexpr int64_t kTokens = 83;
  const PagedFixture fixture(shape, {kTokens}, kSeed);
  const Result expected = Expected(fixture, fixture.kv(), fixture.query());
  for (int64_t cut = 0; cut <= kTokens; ++cut) {
    AttentionStates head(shape.query_heads, shape.head_dim_v);
    AttentionStates tail(shape.query_heads, shape.head_dim_v);
    CpuAttendRange(fixture.kv(), fixture.query(), 0, {0, cut}, head);
    CpuAttendRange(fixture.kv(), fixture.query(), 0, {cut, kTokens}, tail);
    AttentionStates& first = cut % 2 == 0 ? head : tail;
    first.Merge(cut % 2 == 0 ? tail : head);
    Result merged(fixture);
    first.Finish(merged.output.data(), merged.lse.data());
    ExpectClose(merged, expected, ToleranceOf(shape.dtype), "cut at " + std::to_string(cut));
  }
}

TEST_P(Decode, RangeAfterRangeInOneStateEqualsTheWhole) {
  PagedShape shape;
  constexpr int64_t kTokens = 150;
  const PagedFixture fixture(shape, {kTokens}, kSeed);
  AttentionStates states(shape.query_heads, shape.head_dim_v);
  for (int64_t first = 0; first < kTokens; first += 11) {
    CpuAttendRange(fixture.kv(), fixture.query(), 0,
                   {first, std::min<int64_t>(kTokens, first + 11)}, states);
  }
  Result result(fixture);
  states.Finish(result.output.data(), result.lse.data());
  ExpectClose(result, Expected(fixture, fixture.kv(), fixture.query()), ToleranceOf(shape.dtype),
              NameOf(shape.dtype));
}

TEST_P(Decode, HoldsWhereOneLogitOutweighsAllOthers) {
  PagedShape shape;
  shape.dtype = Dtype::kF32;
  shape.head_dim_k = 4;
  shape.head_dim_v = 4;
  shape.query_heads = 2;
  PagedFixture fixture(shape, {140}, kSeed);
  const PagedKv& kv = fixture.kv();
  // A K of 200 along each axis, in the second block: logits of hundreds, of either sign.
  for (int32_t head = 0; head < 2; ++head) {
    const int64_t offset = RowOffset(kv, kv.k, 0, 90, head);
    for (int32_t i = 0; i < 4; ++i) StoreElement(kv.dtype, kv.k_data, offset + i, 200.0f);
  }
  ExpectMatches(fixture, NameOf(shape.dtype));
}

// Every V is the same number, so that the result is it, and roundings that lean to one side add up.
TEST_P(Decode, KeepsItsPrecisionOverALongSequence) {
  constexpr int64_t kTokens = 100'000;
  PagedShape shape;
  shape.kv_heads = 1;
  shape.query_heads = 3;
  shape.head_dim_k = shape.head_dim_v = 16;
  PagedFixture fixture(shape, {kTokens}, kSeed);
  const PagedKv& kv = fixture.kv();
  for (int64_t token = 0; token < kTokens; ++token) {
    const int64_t offset = RowOffset(kv, kv.v, 0, token, 0);
    for (int32_t i = 0; i < 16; ++i) StoreElement(kv.dtype, kv.v_data, offset + i, 0.7f);
  }
  const Result result = Attended(fixture, kv, fixture.query());
  for (const float value : result.output) {
    ASSERT_NEAR(value, F16ToFloat(FloatToF16(0.7f)), 2e-6f) << "seed " << kSeed;
  }
}

TEST_P(Decode, SaysNanWhereARowThatItSeesIsNan) {
  for (const Dtype dtype : kDtypes) {
    PagedShape shape;
    shape.dtype = dtype;
    shape.kv_heads = 1;
    PagedFixture fixture(shape, {40}, kSeed);
    const PagedKv& kv = fixture.kv();
    StoreElement(dtype, kv.v_data, RowOffset(kv, kv.v, 0, 20, 0) + 5,
                 std::numeric_limits<float>::quiet_NaN());
    const Result result = Attended(fixture, kv, fixture.query());
    EXPECT_TRUE(std::isnan(result.output[5])) << NameOf(dtype);
    EXPECT_FALSE(std::isnan(result.output[6])) << NameOf(dtype);
    StoreElement(dtype, kv.k_data, RowOffset(kv, kv.k, 0, 20, 0) + 5,
                 std::numeric_limits<float>::quiet_NaN());
    EXPECT_TRUE(std::isnan(Attended(fixture, kv, fixture.query()).lse[0])) << NameOf(dtype);
  }
}

}  // namespace
}  // namespace kvpager::kernels
