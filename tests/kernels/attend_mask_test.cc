// Proves that chunks of a prefill, windows with sinks and trees of drafts see what the reference
// says they see, and read nothing else: causal chunks of any length, pages that are a part of a
// sequence, tokens that no query sees poisoned.

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "tests/kernels/attention_check.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {
namespace {

constexpr uint64_t kSeed = 987;

class Masked : public OnEachTarget {};
KVPAGER_ON_EACH_TARGET(Masked);

void Poison(const PagedKv& kv, int32_t entry, int64_t token) {
  for (int32_t head = 0; head < kv.kv_heads; ++head) {
    StoreElement(kv.dtype, kv.k_data, RowOffset(kv, kv.k, entry, token, head),
                 std::numeric_limits<float>::quiet_NaN());
    StoreElement(kv.dtype, kv.v_data, RowOffset(kv, kv.v, entry, token, head),
                 std::numeric_limits<float>::quiet_NaN());
  }
}

TEST_P(Masked, ChunksOfAPrefillAreCausal) {
  for (const Layout layout : {Layout::kNhd, Layout::kHnd}) {
    for (const int32_t ratio : {1, 3, 8}) {
      PagedShape shape;
      shape.layout = layout;
      shape.query_heads = 2 * ratio;
      shape.dtype = ratio == 3 ? Dtype::kBf16 : Dtype::kF16;
      // All of a sequence, its end, one token, none, more than a block.
      const PagedFixture fixture(shape, {20, 90, 33, 7, 140}, {20, 17, 1, 0, 70}, kSeed);
      ExpectMatches(fixture, "ratio " + std::to_string(ratio));
    }
  }
}

TEST_P(Masked, AChunkThatIsNotTheEndDoesNotReadWhatLiesBehindIt) {
  const PagedShape shape;
  PagedFixture fixture(shape, {90}, {10}, kSeed);
  const int64_t first = 41;
  AttentionQuery query = fixture.query();
  query.query_first = &first;
  for (int64_t token = first + 10; token < 90; ++token) Poison(fixture.kv(), 0, token);
  ExpectMatches(fixture, fixture.kv(), query, "query tokens 41 to 50 of 90");
}

TEST_P(Masked, WindowsWithSinksReadOnlyWhatTheySee) {
  for (const int64_t window : {1, 7, 16, 64, 100, 1000}) {
    for (const int64_t sinks : {0, 1, 4, 20}) {
      for (const int32_t queries : {1, 9}) {
        const PagedShape shape;
        PagedFixture fixture(shape, {200, 5}, {queries, queries > 5 ? 5 : queries}, kSeed);
        AttentionQuery query = fixture.query();
        query.mask.window_tokens = window;
        query.mask.sink_tokens = sinks;
        for (int64_t token = sinks; token < 200 - queries + 1 - window; ++token) {
          Poison(fixture.kv(), 0, token);
        }
        ExpectMatches(fixture, fixture.kv(), query,
                      "window " + std::to_string(window) + ", sinks " + std::to_string(sinks));
      }
    }
  }
}

// A tree of `count` drafts in words of 64 bits: each sees itself and its ancestors.
std::vector<uint64_t> DraftBits(const std::vector<int32_t>& parents, int32_t words) {
  std::vector<uint64_t> bits(parents.size() * static_cast<size_t>(words));
  for (size_t draft = 0; draft < parents.size(); ++draft) {
    for (auto at = static_cast<int32_t>(draft); at >= 0; at = parents[static_cast<size_t>(at)]) {
      bits[draft * static_cast<size_t>(words) + static_cast<size_t>(at / 64)] |= uint64_t{1}
                                                                                 << (at % 64);
    }
  }
  return bits;
}

TEST_P(Masked, DraftsSeeTheContextThemselvesAndTheirAncestors) {
  const std::vector<int32_t> small = {-1, 0, 0, 1, 1, 2, -1, 6};
  std::vector<int32_t> large;  // Two words, and across blocks.
  for (int32_t i = 0; i < 70; ++i) large.push_back((i - 1) / 2 - (i == 0 ? 1 : 0));
  for (const std::vector<int32_t>& parents : {small, large}) {
    const int32_t words = parents.size() > 64 ? 2 : 1;
    const std::vector<uint64_t> bits = DraftBits(parents, words);
    const auto drafts = static_cast<int32_t>(parents.size());
    for (const int64_t context : {0, 15, 64, 131}) {
      for (const int64_t window : {0, 10}) {
        const PagedShape shape;
        const PagedFixture fixture(shape, {context + drafts}, {drafts}, kSeed);
        AttentionQuery query = fixture.query();
        query.mask.draft_bits = bits.data();
        query.mask.draft_words = words;
        query.mask.window_tokens = window;
        query.mask.sink_tokens = window == 0 ? 0 : 2;
        ExpectMatches(fixture, fixture.kv(), query,
                      std::to_string(drafts) + " drafts behind " + std::to_string(context));
      }
    }
  }
}

// The last level of a tree alone: its query tokens are fewer than the drafts they may see.
TEST_P(Masked, ALevelOfATreeSeesEarlierLevelsAndNoDraftThatNobodyAsksFor) {
  const PagedShape shape;
  PagedFixture fixture(shape, {50 + 6}, {2}, kSeed);
  const std::vector<uint64_t> bits = {0b010011,
                                      0b100101};  // Drafts 4 and 5; 3 is nobody's ancestor.
  const int64_t tree = 50;
  AttentionQuery query = fixture.query();
  query.mask.draft_bits = bits.data();
  query.mask.draft_words = 1;
  query.mask.draft_first = &tree;
  Poison(fixture.kv(), 0, 53);
  ExpectMatches(fixture, fixture.kv(), query, "drafts 4 and 5 of 6");
}

// Every second block of a sequence here, the others there; merged, all of it.
TEST_P(Masked, PagesOfASequenceInTwoPlacesMergeToTheWhole) {
  PagedShape shape;
  shape.query_heads = 4;
  constexpr int64_t kTokens = 16 * 9 + 5;
  constexpr int32_t kQueries = 20;
  const PagedFixture fixture(shape, {kTokens}, {kQueries}, kSeed);
  AttentionQuery query = fixture.query();
  query.mask.window_tokens = 60;
  query.mask.sink_tokens = 3;
  const Result expected = Expected(fixture, fixture.kv(), query);
  const int64_t first = kTokens - kQueries;
  query.query_first = &first;
  AttentionStates merged(kQueries * shape.query_heads, shape.head_dim_v);
  for (const int32_t parity : {0, 1}) {
    std::vector<int32_t> indices;
    std::vector<int32_t> positions;
    for (int32_t page = parity; page < 10; page += 2) {
      indices.push_back(fixture.kv().indices[page]);
      positions.push_back(page);
    }
    PagedKv part = fixture.kv();
    const int32_t indptr[2] = {0, static_cast<int32_t>(indices.size())};
    const int32_t last = parity == 1 ? 5 : 16;
    part.indptr = indptr;
    part.indices = indices.data();
    part.positions = positions.data();
    part.last_page_len = &last;
    AttentionStates states(kQueries * shape.query_heads, shape.head_dim_v);
    CpuAttendRange(part, query, 0, {0, TokenCount(part, 0)}, states);
    merged.Merge(states);
  }
  Result result(fixture);
  merged.Finish(result.output.data(), result.lse.data());
  ExpectClose(result, expected, ToleranceOf(shape.dtype), "even and odd pages");
}

TEST_P(Masked, RowsThatSeeNothingAreZeroAndMinusInfinity) {
  const PagedShape shape;
  PagedFixture fixture(shape, {40}, {2}, kSeed);
  const int64_t first = -1;  // The first query token stands before the sequence.
  AttentionQuery query = fixture.query();
  query.query_first = &first;
  const Result result = Attended(fixture, fixture.kv(), query);
  EXPECT_EQ(result.lse[0], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(result.output[0], 0.0f);
  ExpectMatches(fixture, fixture.kv(), query, "one query token before the sequence, one on it");
}

}  // namespace
}  // namespace kvpager::kernels
