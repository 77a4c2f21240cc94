// Proves that a block is written to NVMe once, however often it is used from there, and that one
// which is not full is never written.

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "memmgr/core/limits.h"
#include "tests/memmgr/core/served_core.h"

namespace kvpager {
namespace {

constexpr ClientId kEngine{0};
constexpr BlockKey kKey{{1, 2}};

PoolOptions Options() {
  PoolOptions options;
  options.page_tokens = kPageTokens;
  options.blocks_hbm = options.blocks_host = 8;
  options.blocks_nvme = 16;
  options.admission = Admission::kAlways;
  options.free_hbm = options.clean_hbm = options.free_host = options.clean_host = {0, 0};
  return options;
}

uint64_t Started(const ServedCore& core, Channel channel) {
  return core.core().metrics().copies_started[ChannelIndex(channel)];
}

TEST(Wear, ABlockThatComesBackAgainAndAgainIsWrittenOnce) {
  ServedCore core(Options());
  core.Feed(kEngine, AttachCommand{NamespaceId{0}});
  const std::vector<BlockKey> keys = {kKey};
  SequenceId sequence = core.Open(kEngine);
  ASSERT_TRUE(core.Step(kEngine, sequence, 1));
  core.Feed(kEngine, NameCommand{.sequence = sequence, .keys = keys});
  constexpr uint32_t kRounds = 5;
  for (uint32_t round = 0; round < kRounds; ++round) {
    core.Feed(kEngine, EvictCommand{sequence, Tier::kNvme});
    EXPECT_EQ(core.used(0, Tier::kHbm) + core.used(0, Tier::kHost), 0u);
    core.Feed(kEngine, CloseCommand{sequence});
    sequence = core.Open(kEngine, keys);
    ASSERT_TRUE(core.Step(kEngine, sequence, 0));
  }
  EXPECT_EQ(Started(core, Channel::kNvmeToHost), kRounds);
  EXPECT_EQ(Started(core, Channel::kHostToNvme), 1u);
}

TEST(Wear, ABlockThatIsNotFullIsNotWritten) {
  PoolOptions options = Options();
  options.page_tokens = 2 * kPageTokens;  // So that a step leaves each block half full.
  ServedCore core(options);
  core.Feed(kEngine, AttachCommand{NamespaceId{0}});
  std::vector<SequenceId> sequences;
  // Twice as many as HBM has frames, as many as both tiers may hold (one is kept for swaps).
  for (uint32_t i = 0; i < 14; ++i) {
    sequences.push_back(core.Open(kEngine));
    ASSERT_TRUE(core.Step(kEngine, sequences.back(), 1)) << i;
    core.Feed(kEngine, SuspendCommand{.sequence = sequences.back()});
    core.Feed(kEngine, EvictCommand{sequences.back(), Tier::kNvme});
  }
  EXPECT_GT(core.used(0, Tier::kHost), 0u);
  EXPECT_EQ(Started(core, Channel::kHostToNvme), 0u);
  // The other half: now they are, when they have to make room.
  for (const SequenceId sequence : sequences) {
    core.Feed(kEngine, ResumeCommand{sequence});
    ASSERT_TRUE(core.Step(kEngine, sequence, 1)) << core.reply(kEngine).reason;
    core.Feed(kEngine, EvictCommand{sequence, Tier::kNvme});
  }
  EXPECT_EQ(Started(core, Channel::kHostToNvme), sequences.size());
}

}  // namespace
}  // namespace kvpager
