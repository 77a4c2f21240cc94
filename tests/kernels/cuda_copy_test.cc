// Proves that the bodies of the small CUDA kernels do what the CPU's do, bit for bit: append,
// gather and scatter of pages, the merge of results, the read ceiling; on the emulator.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/append.h"
#include "kernels/cuda/append_cta.cuh"
#include "kernels/cuda/ceiling_cta.cuh"
#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/merge_cta.cuh"
#include "kernels/cuda/pages_cta.cuh"
#include "tests/kernels/attention_check.h"
#include "tests/kernels/cuda_emulator.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {
namespace {

constexpr uint64_t kSeed = 31;

EmulatedGrid Grid(int32_t blocks, int32_t threads) {
  EmulatedGrid grid;
  grid.x = blocks;
  grid.threads = threads;
  return grid;
}

std::vector<float> Floats(PagedFixture& fixture, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = fixture.Draw();
  return values;
}

void ExpectAppends(const PagedShape& shape, const std::vector<int32_t>& counts) {
  PagedFixture here(shape, {40, 16, 70, 9}, kSeed);
  PagedFixture there(shape, {40, 16, 70, 9}, kSeed);
  ASSERT_EQ(here.bytes(), there.bytes());
  std::vector<int32_t> indptr = {0};
  for (const int32_t count : counts) indptr.push_back(indptr.back() + count);
  const PagedKv& kv = here.kv();
  const auto k = Floats(here, int64_t{indptr.back()} * kv.kv_heads * kv.head_dim_k);
  const auto v = Floats(here, int64_t{indptr.back()} * kv.kv_heads * kv.head_dim_v);
  for (int32_t entry = 0; entry < 4; ++entry) {
    const auto at = static_cast<size_t>(entry);
    const int64_t row = int64_t{indptr[at]} * kv.kv_heads;
    CpuAppend(there.kv(), entry,
              {k.data() + row * kv.head_dim_k, v.data() + row * kv.head_dim_v, counts[at]});
  }
  CudaNewTokens tokens = {k.data(), v.data(), indptr.data(), indptr.back()};
  const bool one_each = std::all_of(counts.begin(), counts.end(), [](int32_t n) { return n == 1; });
  if (one_each) tokens.indptr = nullptr;
  ASSERT_EQ(Emulate(Grid(3, 64), [&](const EmulatedThread& thread,
                                     uint8_t*) { AppendRows(thread, kv, tokens); }),
            "");
  EXPECT_EQ(here.bytes(), there.bytes());
}

TEST(CudaAppend, WritesWhatTheCpuWrites) {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3}) {
    for (const Layout layout : {Layout::kNhd, Layout::kHnd}) {
      PagedShape shape;
      shape.dtype = dtype;
      shape.layout = layout;
      shape.head_dim_v = 32;
      ExpectAppends(shape, {1, 1, 1, 1});
      ExpectAppends(shape, {0, 16, 33, 2});
    }
  }
  PagedShape latent;
  latent.kv_heads = 1;
  latent.head_dim_k = 96;
  latent.shares_rows = true;
  ExpectAppends(latent, {3, 0, 1, 9});
}

TEST(CudaConvert, EveryElementIsTheFloatThatTheCpuSays) {
  alignas(16) uint8_t bytes[16];
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    for (int i = 0; i < 8; ++i) std::memcpy(bytes + 2 * i, &half, 2);
    float values[8];
    LoadAccess<Dtype::kF16>(bytes, values);
    float expected = F16ToFloat(half);
    for (int i = 0; i < 8; ++i) ASSERT_EQ(std::memcmp(&values[i], &expected, 4), 0) << bits;
    LoadAccess<Dtype::kBf16>(bytes, values);
    expected = Bf16ToFloat(half);
    for (int i = 0; i < 8; ++i) ASSERT_EQ(std::memcmp(&values[i], &expected, 4), 0) << bits;
    LoadAccess<Dtype::kF8E4m3>(bytes, values);
    for (int i = 0; i < 8; ++i) {
      expected = F8E4m3ToFloat(bytes[i]);
      ASSERT_EQ(std::memcmp(&values[i], &expected, 4), 0) << bits;
    }
  }
  const float floats[4] = {1.0f, -0.0f, 1e-40f, 3e38f};
  std::memcpy(bytes, floats, sizeof(bytes));
  float values[4];
  LoadAccess<Dtype::kF32>(bytes, values);
  EXPECT_EQ(std::memcmp(values, floats, sizeof(values)), 0);
}

TEST(CudaPages, GatherAndScatterMoveWholePagesAndNothingElse) {
  constexpr int32_t kPages = 11;
  constexpr size_t kStride = 16 * 9;
  constexpr size_t kBytes = 16 * 7;
  std::mt19937_64 random(kSeed);
  std::vector<Sixteen> pool(kPages * kStride / 16);
  for (Sixteen& sixteen : pool) {
    for (uint32_t& word : sixteen.word) word = static_cast<uint32_t>(random());
  }
  const std::vector<Sixteen> before = pool;
  std::vector<int32_t> indices(kPages);
  std::iota(indices.begin(), indices.end(), 0);
  std::shuffle(indices.begin(), indices.end(), random);
  std::vector<Sixteen> buffer(5 * kBytes / 16 + 1, Sixteen{{7, 7, 7, 7}});
  const CudaPages pages = {pool.data(), kStride, kBytes, indices.data(), 5, buffer.data(), 2};
  const auto at = [](std::vector<Sixteen>& bytes, size_t offset) {
    return reinterpret_cast<uint8_t*>(bytes.data()) + offset;
  };
  ASSERT_EQ(Emulate(Grid(2, 32), [&](const EmulatedThread& thread,
                                     uint8_t*) { CopyPages<PageCopy::kGather>(thread, pages); }),
            "");
  for (size_t i = 0; i < 5; ++i) {
    const auto page = static_cast<size_t>(indices[i]);
    EXPECT_EQ(std::memcmp(at(buffer, i * kBytes), at(pool, page * kStride), kBytes), 0) << i;
  }
  EXPECT_EQ(buffer.back().word[3], 7u);
  for (size_t i = 0; i < 5; ++i) {
    std::memset(at(pool, static_cast<size_t>(indices[i]) * kStride), 0, kBytes);
  }
  ASSERT_EQ(Emulate(Grid(2, 32), [&](const EmulatedThread& thread,
                                     uint8_t*) { CopyPages<PageCopy::kScatter>(thread, pages); }),
            "");
  EXPECT_EQ(std::memcmp(pool.data(), before.data(), pool.size() * sizeof(Sixteen)), 0);
}

// Tokens of one batch in two halves, and none in a third.
TEST(CudaMerge, TwoResultsBecomeThatOfAllTokens) {
  const PagedShape shape;
  const PagedFixture fixture(shape, {100}, kSeed);
  const AttentionQuery query = fixture.query();
  const Result expected = Expected(fixture, fixture.kv(), query);
  const auto half = [&](TokenRange range) {
    AttentionStates states(shape.query_heads, shape.head_dim_v);
    CpuAttendRange(fixture.kv(), query, 0, range, states);
    Result result(fixture);
    states.Finish(result.output.data(), result.lse.data());
    return result;
  };
  Result target = half({0, 0});
  for (const TokenRange range : {TokenRange{0, 37}, TokenRange{40, 40}, TokenRange{37, 100}}) {
    const Result part = half(range);
    const CudaMergeCall call = {part.output.data(), part.lse.data(), target.out(),
                                shape.query_heads, shape.head_dim_v};
    ASSERT_EQ(Emulate(Grid(3, 32),
                      [&](const EmulatedThread& thread, uint8_t*) { MergeResults(thread, call); }),
              "");
  }
  ExpectClose(target, expected, ToleranceOf(shape.dtype), "two halves");
}

TEST(CudaCeiling, EveryWordIsReadOnce) {
  std::mt19937_64 random(kSeed);
  std::vector<Sixteen> data(1003);
  uint32_t expected = 0;
  for (Sixteen& sixteen : data) {
    for (uint32_t& word : sixteen.word) expected ^= word = static_cast<uint32_t>(random());
  }
  std::vector<uint32_t> sums(3 * 64, 5);
  const CudaRead read = {data.data(), static_cast<int64_t>(data.size() * sizeof(Sixteen)),
                         sums.data()};
  ASSERT_EQ(
      Emulate(Grid(3, 64), [&](const EmulatedThread& thread, uint8_t*) { ReadAll(thread, read); }),
      "");
  uint32_t sum = 0;
  for (const uint32_t one : sums) sum ^= one;
  EXPECT_EQ(sum, expected);
}

}  // namespace
}  // namespace kvpager::kernels
