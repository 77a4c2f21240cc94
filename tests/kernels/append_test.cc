// Proves that an append writes exactly the rows of the new tokens, in both layouts, across page
// ends, and nothing else.

#include "kernels/cpu/append.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

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

TEST(Append, WritesTheLastTokensOfAnEntryAndNothingElse) {
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

}  // namespace
}  // namespace kvpager::kernels
