// Proves that what was written is recognised, that a change of any byte is seen and found, and that
// two blocks, layers, parts, tokens, heads or namespaces never look alike.

#include "tools/kvpager-replay/content.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "tools/kvpager-replay/block_keys.h"
#include "tools/kvpager-replay/random.h"

namespace kvpager::replay {
namespace {

constexpr uint32_t kTokens = 16;

ContentRows MakeRows(kernels::Layout layout, uint32_t heads, uint32_t dim) {
  ContentRows rows;
  rows.identity = 0x123456789abcdefu;
  rows.layer = 2;
  rows.token_end = kTokens;
  rows.heads = heads;
  rows.head_dim = dim;
  rows.strides = kernels::PackedStrides(
      {layout, kTokens, static_cast<int32_t>(heads), static_cast<int32_t>(dim), 0});
  return rows;
}

TEST(Content, AFlipOfAnyBitIsSeenAndFound) {
  for (const kernels::Layout layout : {kernels::Layout::kNhd, kernels::Layout::kHnd}) {
    for (const uint32_t dim : {64u, 7u}) {
      const ContentRows rows = MakeRows(layout, 2, dim);
      std::vector<uint16_t> page(size_t{kTokens} * 2 * dim);
      WriteContent(rows, page.data());
      ASSERT_TRUE(ContentMatches(rows, page.data()));
      for (size_t byte = 0; byte < page.size() * 2; ++byte) {
        const auto bit = static_cast<uint16_t>(1u << (byte % 2 * 8 + byte % 8));
        page[byte / 2] ^= bit;
        ASSERT_FALSE(ContentMatches(rows, page.data())) << "byte " << byte;
        const ContentPlace place = FindMismatch(rows, page.data());
        const int64_t at =
            place.token * rows.strides.token + place.head * rows.strides.head + place.element;
        ASSERT_EQ(static_cast<size_t>(at), byte / 2);
        ASSERT_EQ(place.found ^ place.expected, bit);
        page[byte / 2] ^= bit;
      }
    }
  }
}

TEST(Content, OnlyTheTokensAskedForAreWrittenAndCompared) {
  ContentRows rows = MakeRows(kernels::Layout::kNhd, 2, 64);
  std::vector<uint16_t> page(size_t{kTokens} * 128, 0xffff);
  rows.token_first = 5;
  rows.token_end = 9;
  WriteContent(rows, page.data());
  for (size_t i = 0; i < page.size(); ++i) {
    const bool inside = i / 128 >= 5 && i / 128 < 9;
    ASSERT_EQ(page[i] != 0xffff, inside) << i;
  }
  EXPECT_TRUE(ContentMatches(rows, page.data()));
  rows.token_end = 10;
  EXPECT_FALSE(ContentMatches(rows, page.data()));
}

TEST(Content, TokensWrittenOneByOneEqualTheBlockWrittenAtOnce) {
  ContentRows rows = MakeRows(kernels::Layout::kHnd, 3, 32);
  std::vector<uint16_t> page(size_t{kTokens} * 96);
  for (uint32_t token = 0; token < kTokens; ++token) {
    rows.token_first = token;
    rows.token_end = token + 1;
    WriteContent(rows, page.data());
  }
  rows.token_first = 0;
  EXPECT_TRUE(ContentMatches(rows, page.data()));
}

TEST(Content, ElementsAreSmallAndOfEitherSign) {
  const ContentRows rows = MakeRows(kernels::Layout::kNhd, 2, 64);
  std::vector<uint16_t> page(size_t{kTokens} * 128);
  WriteContent(rows, page.data());
  size_t negative = 0;
  for (const uint16_t element : page) {
    const float value = kernels::F16ToFloat(element);
    ASSERT_GE(std::fabs(value), 0.125f);
    ASSERT_LT(std::fabs(value), 0.5f);
    negative += value < 0 ? 1 : 0;
  }
  EXPECT_GT(negative, page.size() / 3);
  EXPECT_LT(negative, page.size() * 2 / 3);
}

TEST(Content, NoTwoRowsLookAlike) {
  std::set<std::vector<uint16_t>> seen;
  size_t rows_written = 0;
  for (const char* name_space : {"a", "b"}) {
    for (uint8_t key = 0; key < 8; ++key) {
      kvp_block_key block_key = {};
      block_key.bytes[key % 4 * 8] = static_cast<uint8_t>(key / 4 + 1);
      for (uint32_t layer = 0; layer < 4; ++layer) {
        for (const KvPart part : {KvPart::kK, KvPart::kV}) {
          ContentRows rows = MakeRows(kernels::Layout::kNhd, 2, 64);
          rows.identity = BlockIdentity(NamespaceIdentity(name_space), block_key);
          rows.layer = layer;
          rows.part = part;
          std::vector<uint16_t> page(size_t{kTokens} * 128);
          WriteContent(rows, page.data());
          for (size_t row = 0; row < page.size(); row += 64) {
            seen.emplace(page.begin() + static_cast<int64_t>(row),
                         page.begin() + static_cast<int64_t>(row) + 64);
            ++rows_written;
          }
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), rows_written);
}

TEST(BlockKeys, AreSharedExactlyAsFarAsTheIdsAre) {
  Request first;
  first.input_tokens = 4 * kTraceBlockTokens + 100;
  first.hash_ids = {1, 2, 3, 4, 5};
  Request second = first;
  second.hash_ids = {1, 2, 9, 4, 5};
  const auto keys = PromptKeys(first);
  const auto others = PromptKeys(second);
  ASSERT_EQ(keys.size(), 4u);
  const auto equal = [&](size_t i) {
    return std::equal(std::begin(keys[i].bytes), std::end(keys[i].bytes), others[i].bytes);
  };
  EXPECT_TRUE(equal(0));
  EXPECT_TRUE(equal(1));
  EXPECT_FALSE(equal(2));
  EXPECT_FALSE(equal(3));  // The id is the same, but not what comes before it.
}

}  // namespace
}  // namespace kvpager::replay
