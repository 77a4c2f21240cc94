// Proves that the CPU decode says what the reference says, on every instruction set that this
// machine has: permuted pages, ragged lengths, poisoned tails, both layouts, all types, all ratios;
// and that attention split anywhere and merged in any order equals the whole.

#include "kernels/cpu/decode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/reference/decode.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {
namespace {

constexpr uint64_t kSeed = 20240817;
constexpr float kTolerance = 2e-5f;

struct Result {
  std::vector<float> output;
  std::vector<float> lse;
};

Result Whole(const PagedFixture& fixture) {
  Result result{std::vector<float>(fixture.output_size()), std::vector<float>(fixture.lse_size())};
  CpuDecode(fixture.kv(), fixture.query(), {result.output.data(), result.lse.data()});
  return result;
}

Result Oracle(const PagedFixture& fixture) {
  Result result{std::vector<float>(fixture.output_size()), std::vector<float>(fixture.lse_size())};
  ReferenceDecode(fixture.kv(), fixture.query(), {result.output.data(), result.lse.data()});
  return result;
}

void ExpectClose(const Result& actual, const Result& expected, const std::string& what) {
  SCOPED_TRACE(what + ", seed " + std::to_string(kSeed));
  for (size_t i = 0; i < expected.output.size(); ++i) {
    ASSERT_TRUE(std::isfinite(expected.output[i])) << "the reference read a poisoned row, at " << i;
    ASSERT_NEAR(actual.output[i], expected.output[i], kTolerance) << "element " << i;
  }
  for (size_t i = 0; i < expected.lse.size(); ++i) {
    if (std::isinf(expected.lse[i])) {
      ASSERT_EQ(actual.lse[i], expected.lse[i]);
    } else {
      ASSERT_NEAR(actual.lse[i], expected.lse[i], kTolerance) << "head " << i;
    }
  }
}

class Decode : public testing::TestWithParam<CpuPath> {
 protected:
  void SetUp() override {
    if (!SetCpuDecodePath(GetParam())) GTEST_SKIP() << "this machine lacks the instruction set";
  }
};
std::string PathName(const testing::TestParamInfo<CpuPath>& path) {
  const char* const names[] = {"Portable", "Avx2", "Avx512"};
  return names[static_cast<size_t>(path.param)];
}
INSTANTIATE_TEST_SUITE_P(Paths, Decode,
                         testing::Values(CpuPath::kPortable, CpuPath::kAvx2, CpuPath::kAvx512),
                         PathName);

TEST_P(Decode, EqualsTheReferenceForRaggedLengthsInBothLayouts) {
  for (const Layout layout : {Layout::kNhd, Layout::kHnd}) {
    PagedShape shape;
    shape.layout = layout;
    // last_page_len 1, full, in between; one page, many; an entry without a page.
    const PagedFixture fixture(shape, {1, 16, 17, 0, 32, 33, 250, 15}, kSeed);
    ExpectClose(Whole(fixture), Oracle(fixture), layout == Layout::kNhd ? "NHD" : "HND");
  }
}

TEST_P(Decode, EqualsTheReferenceForEveryGroupedQueryRatio) {
  for (int32_t ratio = 1; ratio <= 17; ++ratio) {
    PagedShape shape;
    shape.kv_heads = 3;
    shape.query_heads = shape.kv_heads * ratio;
    const PagedFixture fixture(shape, {5, 48, 1}, kSeed + static_cast<uint64_t>(ratio));
    ExpectClose(Whole(fixture), Oracle(fixture), "ratio " + std::to_string(ratio));
  }
}

TEST_P(Decode, EqualsTheReferenceForEveryElementType) {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3}) {
    PagedShape shape;
    shape.dtype = dtype;
    const PagedFixture fixture(shape, {31, 64}, kSeed);
    ExpectClose(Whole(fixture), Oracle(fixture),
                "dtype " + std::to_string(static_cast<uint32_t>(dtype)));
  }
}

TEST_P(Decode, EqualsTheReferenceForOddHeadDimensionsAndPageSizes) {
  struct Case {
    int32_t page_tokens, dim_k, dim_v;
  };
  for (const Case& c : {Case{1, 64, 64}, Case{5, 7, 3}, Case{64, 128, 96}, Case{16, 576, 512},
                        Case{3, 1030, 1025}}) {
    PagedShape shape;
    shape.page_tokens = c.page_tokens;
    shape.head_dim_k = c.dim_k;
    shape.head_dim_v = c.dim_v;
    const PagedFixture fixture(shape, {c.page_tokens, 1, 2 * c.page_tokens + 1, 40}, kSeed);
    ExpectClose(Whole(fixture), Oracle(fixture), "head_dim_k " + std::to_string(c.dim_k));
  }
}

TEST_P(Decode, SplitAnywhereAndMergedInAnyOrderEqualsTheWhole) {
  PagedShape shape;
  shape.query_heads = 8;
  constexpr int64_t kTokens = 53;
  const PagedFixture fixture(shape, {kTokens}, kSeed);
  const Result expected = Oracle(fixture);
  for (int64_t cut = 0; cut <= kTokens; ++cut) {
    DecodeStates head(shape.query_heads, shape.head_dim_v);
    DecodeStates tail(shape.query_heads, shape.head_dim_v);
    CpuDecodeRange(fixture.kv(), fixture.query(), 0, {0, cut}, head);
    CpuDecodeRange(fixture.kv(), fixture.query(), 0, {cut, kTokens}, tail);
    DecodeStates& first = cut % 2 == 0 ? head : tail;
    first.Merge(cut % 2 == 0 ? tail : head);
    Result merged{std::vector<float>(fixture.output_size()),
                  std::vector<float>(fixture.lse_size())};
    first.Finish(merged.output.data(), merged.lse.data());
    ExpectClose(merged, expected, "cut at " + std::to_string(cut));
  }
}

TEST_P(Decode, HoldsWhereOneLogitOutweighsAllOthers) {
  PagedShape shape;
  shape.dtype = Dtype::kF32;
  shape.head_dim_k = 4;
  shape.head_dim_v = 4;
  shape.query_heads = 2;
  PagedFixture fixture(shape, {40}, kSeed);
  const PagedKv& kv = fixture.kv();
  // Token 30 gets a K of 200 along each axis: logits of hundreds, of either sign.
  for (int32_t head = 0; head < 2; ++head) {
    const int64_t offset = RowOffset(kv, kv.k, 0, 30, head);
    for (int32_t i = 0; i < 4; ++i) StoreElement(kv.dtype, kv.k_data, offset + i, 200.0f);
  }
  const Result expected = Oracle(fixture);
  const Result actual = Whole(fixture);
  for (size_t i = 0; i < expected.output.size(); ++i) {
    EXPECT_NEAR(actual.output[i], expected.output[i], kTolerance);
  }
  for (size_t i = 0; i < expected.lse.size(); ++i) {
    EXPECT_NEAR(actual.lse[i], expected.lse[i], 1e-6f * std::fabs(expected.lse[i]) + kTolerance);
  }
}

TEST(Reference, OfOneTokenIsItsVAndItsLogit) {
  PagedShape shape;
  shape.dtype = Dtype::kF32;
  const PagedFixture fixture(shape, {1}, kSeed);
  const Result result = Oracle(fixture);
  const PagedKv& kv = fixture.kv();
  for (int32_t head = 0; head < shape.query_heads; ++head) {
    const int64_t k = RowOffset(kv, kv.k, 0, 0, head / 2);
    const int64_t v = RowOffset(kv, kv.v, 0, 0, head / 2);
    double logit = 0;
    for (int32_t i = 0; i < shape.head_dim_k; ++i) {
      logit += static_cast<double>(fixture.query().query[head * shape.head_dim_k + i]) *
               static_cast<double>(LoadElement(kv.dtype, kv.k_data, k + i)) / 8.0;
    }
    EXPECT_NEAR(result.lse[static_cast<size_t>(head)], logit, 1e-5);
    for (int32_t i = 0; i < shape.head_dim_v; ++i) {
      EXPECT_EQ(result.output[static_cast<size_t>(head * shape.head_dim_v + i)],
                LoadElement(kv.dtype, kv.v_data, v + i));
    }
  }
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
