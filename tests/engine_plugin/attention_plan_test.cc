// How the attention engine cuts a pass into chunks, and which mode AUTO takes.

#include <cstdint>
#include <vector>

#include "engine_plugin/attention_engine/chunks.h"
#include "engine_plugin/attention_engine/cost_model.h"
#include "engine_plugin/attention_engine/windows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvpager::attention {
namespace {

using ::testing::ElementsAre;

Batch BatchOf(const std::vector<int64_t>& before_tokens) {
  Batch batch;
  batch.new_indptr.push_back(0);
  for (const int64_t tokens : before_tokens) {
    batch.entries.push_back({1, 1});
    batch.before_tokens.push_back(tokens);
    batch.new_indptr.push_back(batch.new_indptr.back() + 1);
  }
  return batch;
}

// "entry:first+count", chunk by chunk.
std::vector<std::string> Text(const std::vector<Chunk>& chunks) {
  std::vector<std::string> text;
  for (const Chunk& chunk : chunks) {
    std::string pieces;
    for (const ChunkPiece& piece : chunk.pieces) {
      if (!pieces.empty()) pieces += ' ';
      pieces += std::to_string(piece.entry) + ':' + std::to_string(piece.first_block) + '+' +
                std::to_string(piece.num_blocks);
    }
    text.push_back(pieces);
  }
  return text;
}

TEST(Chunks, AreOfEqualSizeAndHoldNoMoreThanTheyMay) {
  EXPECT_THAT(Text(ChunksOf(BatchOf({70}), {.page_tokens = 10, .blocks_max = 3})),
              ElementsAre("0:0+3", "0:3+2", "0:5+2"));
  EXPECT_THAT(Text(ChunksOf(BatchOf({30}), {.page_tokens = 10, .blocks_max = 3})),
              ElementsAre("0:0+3"));
  EXPECT_TRUE(ChunksOf(BatchOf({0}), {.page_tokens = 10, .blocks_max = 3}).empty());
}

TEST(Chunks, HoldSeveralShortSequences) {
  EXPECT_THAT(Text(ChunksOf(BatchOf({11, 5, 25}), {.page_tokens = 10, .blocks_max = 4})),
              ElementsAre("0:0+2 1:0+1", "2:0+3"));
}

// Views, queries and states of a chunk are addressed from its first entry on.
TEST(Chunks, EndWhereAnEntryHasNothingToBeRead) {
  EXPECT_THAT(Text(ChunksOf(BatchOf({11, 0, 5, 7}), {.page_tokens = 10, .blocks_max = 8})),
              ElementsAre("0:0+2", "2:0+1 3:0+1"));
}

TEST(Chunks, LeaveOutWhatNoNewTokenSees) {
  // The new token is at 100 and sees 91 to 100, and the first 15.
  EXPECT_THAT(
      Text(ChunksOf(BatchOf({100}),
                    {.page_tokens = 10, .blocks_max = 8, .window = {.tokens = 10, .sinks = 15}})),
      ElementsAre("0:0+2", "0:9+1"));
  // Window and sinks meet: one piece.
  EXPECT_THAT(
      Text(ChunksOf(BatchOf({40}),
                    {.page_tokens = 10, .blocks_max = 8, .window = {.tokens = 20, .sinks = 15}})),
      ElementsAre("0:0+4"));
}

TEST(Windows, ShareAKindWhereTheyAreEqual) {
  const Windows none({}, 3);
  EXPECT_EQ(none.kinds().size(), 1u);
  EXPECT_EQ(none.of(2), Window{});
  const Windows some({{8, 0}, {0, 0}, {8, 0}, {8, 4}}, 4);
  EXPECT_EQ(some.kinds().size(), 3u);
  EXPECT_EQ(some.kind_of(0), some.kind_of(2));
  EXPECT_EQ(some.of(3), (Window{8, 4}));
}

TEST(CostModel, TakesWhatIsFastest) {
  const Rates fast_copy{.attend = 1e9, .copy = 1e10};
  const Rates slow_copy{.attend = 1e9, .copy = 1e8};
  const PassSize fits{.bytes = 100, .hbm_bytes = 100, .host_readable = true};
  PassSize large{.bytes = 1000, .hbm_bytes = 100, .host_readable = true};
  EXPECT_EQ(ChooseMode(slow_copy, fits).mode, Mode::kResident);
  EXPECT_EQ(ChooseMode(slow_copy, large).mode, Mode::kSplit);
  EXPECT_EQ(ChooseMode(fast_copy, large).mode, Mode::kSplit);  // No worse, and nothing is moved.
  large.host_readable = false;
  EXPECT_EQ(ChooseMode(slow_copy, large).mode, Mode::kStreamed);
  EXPECT_NE(ChooseMode(slow_copy, large).why.find("streamed: "), std::string::npos);
}

}  // namespace
}  // namespace kvpager::attention
