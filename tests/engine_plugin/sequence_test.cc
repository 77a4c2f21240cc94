// That what a daemon says a sequence consists of cannot make the library allocate more than the
// pool has.

#include "engine_plugin/sequence.h"

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace kvpager::engine {
namespace {

constexpr uint32_t kBlocksMax = 1000;

TEST(SequenceBlocks, AreThoseOfTheRuns) {
  Sequence sequence(1, 16);
  const std::vector<BlockRun> runs = {{3, 2, 7}, {998, 2, 1}};
  ASSERT_TRUE(sequence.ApplyRuns(0, runs, kBlocksMax).ok());
  const BlockList expected = {{3, 7}, {4, 7}, {998, 1}, {999, 1}};
  EXPECT_EQ(*sequence.blocks(), expected);
}

TEST(SequenceBlocks, BeyondThePoolAreRefused) {
  Sequence sequence(1, 16);
  const std::vector<BlockRun> runs = {{999, 2, 1}};
  EXPECT_TRUE(absl::IsUnavailable(sequence.ApplyRuns(0, runs, kBlocksMax)));
  EXPECT_TRUE(sequence.blocks()->empty());
}

TEST(SequenceBlocks, AreTogetherNoMoreThanThePoolHas) {
  Sequence sequence(1, 16);
  const std::vector<BlockRun> all = {{0, kBlocksMax, 1}};
  ASSERT_TRUE(sequence.ApplyRuns(0, all, kBlocksMax).ok());
  const std::vector<BlockRun> twice = {{0, kBlocksMax, 1}, {0, 1, 1}};
  EXPECT_TRUE(absl::IsUnavailable(sequence.ApplyRuns(0, twice, kBlocksMax)));
  const std::vector<BlockRun> one = {{5, 1, 1}};
  EXPECT_TRUE(absl::IsUnavailable(sequence.ApplyRuns(kBlocksMax, one, kBlocksMax)));
  EXPECT_TRUE(sequence.ApplyRuns(kBlocksMax - 1, one, kBlocksMax).ok());
  EXPECT_EQ(sequence.blocks()->size(), kBlocksMax);
}

}  // namespace
}  // namespace kvpager::engine
