// Proves that an append writes exactly the rows of the new tokens, in both layouts, across page
// ends, and nothing else.

#include "kernels/cpu/append.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tests/kernels/attention_check.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {
namespace {

constexpr uint64_t kSeed = 7;

struct Rows {
  std::vector<float> k, v;
};

Rows MakeRows(PagedFixture& fixture, const PagedShape& shape, int64_t count) {
  Rows rows;
  for (int64_t i = 0; i < count * shape.kv_heads * shape.head_dim_k; ++i) {
    rows.k.push_back(F16ToFloat(FloatToF16(fixture.Draw())));
  }
  for (int64_t i = 0; i < count * shape.kv_heads * shape.head_dim_v; ++i) {
    rows.v.push_back(F16ToFloat(FloatToF16(fixture.Draw())));
  }
  return rows;
}

class Append : public OnEachTarget {};
KVPAGER_ON_EACH_TARGET(Append);

TEST_P(Append, WritesTheLastTokensOfAnEntryAndNothingElse) {
  for (const Layout layout : {Layout::kNhd, Layout::kHnd}) {
    for (const int64_t count : {1, 7, 16, 20}) {
      PagedShape shape;
      shape.layout = layout;
      shape.head_dim_v = 32;
      PagedFixture fixture(shape, {33, 37, 16}, kSeed);
      const PagedKv& kv = fixture.kv();
      const Rows rows = MakeRows(fixture, shape, count);
      std::vector<uint8_t> expected = fixture.bytes();
      PagedKv mirror = kv;
      mirror.k_data = expected.data();
      mirror.v_data = expected.data() + (static_cast<uint8_t*>(kv.v_data) - fixture.bytes().data());
      for (int64_t i = 0; i < count; ++i) {
        for (int32_t head = 0; head < 2; ++head) {
          const int64_t token = 37 - count + i;
          for (int32_t j = 0; j < 64; ++j) {
            StoreElement(kv.dtype, mirror.k_data, RowOffset(kv, kv.k, 1, token, head) + j,
                         rows.k[static_cast<size_t>((i * 2 + head) * 64 + j)]);
          }
          for (int32_t j = 0; j < 32; ++j) {
            StoreElement(kv.dtype, mirror.v_data, RowOffset(kv, kv.v, 1, token, head) + j,
                         rows.v[static_cast<size_t>((i * 2 + head) * 32 + j)]);
          }
        }
      }
      CpuAppend(kv, 1, {rows.k.data(), rows.v.data(), count});
      EXPECT_EQ(fixture.bytes(), expected) << "count " << count << ", seed " << kSeed;
    }
  }
}

// Halves, quarters and neighbours of all that the narrow types can hold, and what they cannot.
std::vector<float> HardToRound() {
  std::vector<float> values;
  for (uint32_t bits = 0; bits <= 0xffff; bits += 7) {
    const float half = F16ToFloat(static_cast<uint16_t>(bits));
    const float brain = Bf16ToFloat(static_cast<uint16_t>(bits));
    for (const float value : {half, brain}) {
      if (std::isnan(value)) continue;
      for (const float factor : {1.0f, 1.0f + 0x1p-4f, 1.0f + 0x1p-11f, 1.0f + 0x1p-8f, 1.1f}) {
        values.push_back(value * factor);
      }
    }
  }
  for (uint32_t bits = 0; bits <= 0xff; ++bits) {
    const float here = F8E4m3ToFloat(static_cast<uint8_t>(bits));
    const float next = F8E4m3ToFloat(static_cast<uint8_t>(bits + 1));
    if (std::isnan(here) || std::isnan(next)) continue;
    const float tie = (here + next) / 2;
    for (const float value :
         {here, tie, std::nextafter(tie, 1000.0f), std::nextafter(tie, -1000.0f)}) {
      values.push_back(value);
    }
  }
  for (const float value : {464.0f, 465.0f, 480.0f, 1e9f, -1e9f, 65520.0f, 3.4e38f}) {
    values.push_back(value);
  }
  values.push_back(-std::numeric_limits<float>::infinity());
  return values;
}

TEST_P(Append, RoundsEveryValueAsTheTypesSay) {
  const std::vector<float> values = HardToRound();
  const auto count = static_cast<int32_t>(values.size());
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3}) {
    PagedShape shape;
    shape.dtype = dtype;
    shape.page_tokens = 1;
    shape.kv_heads = 1;
    shape.head_dim_k = shape.head_dim_v = count;
    PagedFixture fixture(shape, {1}, kSeed);
    const PagedKv& kv = fixture.kv();
    CpuAppend(kv, 0, {values.data(), values.data(), 1});
    std::vector<uint8_t> expected(values.size() * ElementBytes(dtype));
    for (int32_t i = 0; i < count; ++i) {
      StoreElement(dtype, expected.data(), i, values[static_cast<size_t>(i)]);
      const size_t at = static_cast<size_t>(i) * ElementBytes(dtype);
      const auto* const row =
          static_cast<const uint8_t*>(kv.k_data) +
          static_cast<size_t>(RowOffset(kv, kv.k, 0, 0, 0)) * ElementBytes(dtype);
      ASSERT_EQ(std::memcmp(row + at, expected.data() + at, ElementBytes(dtype)), 0)
          << "type " << static_cast<uint32_t>(dtype) << ", value "
          << values[static_cast<size_t>(i)];
    }
  }
}

TEST_P(Append, KeepsNan) {
  const std::vector<float> values(16, std::numeric_limits<float>::quiet_NaN());
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3}) {
    PagedShape shape;
    shape.dtype = dtype;
    shape.kv_heads = 1;
    shape.head_dim_k = shape.head_dim_v = 16;
    PagedFixture fixture(shape, {1}, kSeed);
    const PagedKv& kv = fixture.kv();
    CpuAppend(kv, 0, {values.data(), values.data(), 1});
    for (int32_t i = 0; i < 16; ++i) {
      EXPECT_TRUE(std::isnan(LoadElement(dtype, kv.v_data, RowOffset(kv, kv.v, 0, 0, 0) + i)));
    }
  }
}

TEST_P(Append, OfLatentRowsWritesOneRowPerToken) {
  PagedShape shape;
  shape.shares_rows = true;
  shape.kv_heads = 1;
  shape.head_dim_k = 576;
  shape.head_dim_v = 512;
  PagedFixture fixture(shape, {20}, kSeed);
  std::vector<float> rows(2 * 576);
  for (float& value : rows) value = F16ToFloat(FloatToF16(fixture.Draw()));
  const PagedKv& kv = fixture.kv();
  CpuAppend(kv, 0, {rows.data(), nullptr, 2});
  for (int64_t i = 0; i < 2 * 576; ++i) {
    const int64_t offset = RowOffset(kv, kv.k, 0, 18 + i / 576, 0) + i % 576;
    ASSERT_EQ(LoadElement(kv.dtype, kv.k_data, offset), rows[static_cast<size_t>(i)]);
  }
}

}  // namespace
}  // namespace kvpager::kernels
