// Proves credits: who gets one and when, that a block is lent to one sequence only, that what an
// engine has taken stays its own, and that no step waits for frames that are merely lent.

#include "memmgr/core/credits.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "memmgr/core/limits.h"
#include "memmgr/core/state.h"
#include "tests/memmgr/core/served_core.h"

namespace kvpager {
namespace {

constexpr ClientId kEngine{0};
constexpr ClientId kPinned{1};  // Asks for every step.
constexpr uint32_t kBlocks = 16;
constexpr uint32_t kCreditsMax = 4;

PoolOptions Options() {
  PoolOptions options;
  options.page_tokens = kPageTokens;
  options.num_groups = 2;
  options.blocks_hbm = kBlocks;
  options.blocks_host = 32;
  options.clients_max = 4;
  options.namespaces_max = 2;
  options.credits_permille = 1000 * kCreditsMax / kBlocks;
  options.free_hbm = options.clean_hbm = options.free_host = options.clean_host = {0, 0};
  return options;
}

class Credits : public ::testing::Test, public ServedCore {
 protected:
  Credits() : ServedCore(Options()) {
    Feed(kEngine, AttachCommand{NamespaceId{0}, /*message_free=*/true});
    Feed(kPinned, AttachCommand{NamespaceId{1}});
  }

  // A sequence with as many full blocks, and its credit if there is room.
  SequenceId Grown(uint32_t blocks) {
    const SequenceId sequence = Open(kEngine);
    EXPECT_TRUE(Step(kEngine, sequence, blocks));
    return sequence;
  }
  void Say(SequenceId sequence, uint64_t length_tokens, uint32_t tokens) {
    Feed(kEngine, AppendedCommand{sequence, length_tokens, tokens, length_tokens + tokens});
  }
  const Sequence& sequence(SequenceId id) const { return *core().state().sequences.Find(id); }
  uint32_t lent() const { return core().state().credits.blocks(); }
  uint32_t free_frames() const {
    return static_cast<uint32_t>(core().tier_info(Tier::kHbm).frames_free);
  }
};

TEST_F(Credits, ASequenceThatGrewIsLentItsNextBlock) {
  const SequenceId grown = Grown(2);
  EXPECT_TRUE(has_credit(grown));
  EXPECT_EQ(lent(), 1u);
  EXPECT_EQ(free_frames(), 2 * (kBlocks - 3));
}

TEST_F(Credits, WhoAsksForEveryStepGetsNone) {
  const SequenceId grown = Open(kPinned);
  ASSERT_TRUE(Step(kPinned, grown, 2));
  EXPECT_FALSE(has_credit(grown));
}

TEST_F(Credits, ATakenCreditBecomesTheSequencesBlockAndTheNextOneFollows) {
  const SequenceId grown = Grown(2);
  const BlockIndex block = core().state().credits.of(grown).block;
  TakeCredit(grown);
  Say(grown, 8, 3);
  EXPECT_EQ(sequence(grown).blocks, 3u);
  EXPECT_EQ(sequence(grown).length_tokens, 11u);
  EXPECT_EQ(core().state().sequences.Back(sequence(grown)), block);
  EXPECT_TRUE(has_credit(grown));
  EXPECT_NE(core().state().credits.of(grown).block, block);
  EXPECT_EQ(core().metrics().credits_used, 1u);
}

TEST_F(Credits, ABlockThatWasFilledIsSealedOnceItsStepsHaveEnded) {
  const SequenceId grown = Grown(2);
  const BlockIndex block = core().state().credits.of(grown).block;
  TakeCredit(grown);
  Feed(kEngine, AppendedCommand{grown, 8, 4, /*written_tokens=*/11});
  EXPECT_EQ(core().state().blocks.block(block).phase, BlockPhase::kOpen);
  Feed(kEngine, AppendedCommand{grown, 12, 0, /*written_tokens=*/12});
  EXPECT_EQ(core().state().blocks.block(block).phase, BlockPhase::kSealed);
}

TEST_F(Credits, RowsBeyondTheCreditAreRefused) {
  const SequenceId grown = Grown(2);
  TakeCredit(grown);
  Say(grown, 8, 5);
  EXPECT_EQ(sequence(grown).length_tokens, 8u);
  EXPECT_EQ(sequence(grown).blocks, 2u);
}

TEST_F(Credits, WithoutACreditNothingIsAppendedBehindAFullBlock) {
  const SequenceId grown = Open(kPinned);
  ASSERT_TRUE(Step(kPinned, grown, 2));
  Feed(kPinned, AppendedCommand{grown, 8, 1, 9});
  EXPECT_EQ(sequence(grown).length_tokens, 8u);
}

TEST_F(Credits, NoMoreAreLentThanMayBe) {
  for (uint32_t i = 0; i < kCreditsMax + 2; ++i) Grown(1);
  EXPECT_EQ(lent(), kCreditsMax);
}

TEST_F(Credits, TheOldestGoesToWhoGrowsOnceItHasBeenIdle) {
  std::vector<SequenceId> grown;
  for (uint32_t i = 0; i < kCreditsMax + 1; ++i) grown.push_back(Grown(1));
  EXPECT_FALSE(has_credit(grown.back()));
  Wait(kCreditIdleNs / 2);
  EXPECT_FALSE(has_credit(grown.back()));
  Wait(kCreditIdleNs);
  EXPECT_FALSE(has_credit(grown.front()));
  EXPECT_TRUE(has_credit(grown.back()));
  EXPECT_EQ(lent(), kCreditsMax);
}

TEST_F(Credits, AStepThatNeedsTheFramesGetsThem) {
  Grown(2);
  Grown(2);
  EXPECT_EQ(lent(), 2u);
  const SequenceId large = Open(kPinned);
  EXPECT_TRUE(Step(kPinned, large, kBlocks - 4));
  EXPECT_GE(revoked(), 2u);
  EXPECT_EQ(core().metrics().copies_started[ChannelIndex(Channel::kHbmToHost)], 0u);
}

TEST_F(Credits, ATakenOneIsNotTakenBackAndTheStepMakesRoomElsewhere) {
  const SequenceId grown = Grown(2);
  TakeCredit(grown);
  const SequenceId large = Open(kPinned);
  EXPECT_TRUE(Step(kPinned, large, kBlocks - 2));
  EXPECT_TRUE(has_credit(grown));
  EXPECT_EQ(revoked(), 0u);
  Say(grown, 8, 1);
  EXPECT_EQ(sequence(grown).blocks, 3u);
}

TEST_F(Credits, WhatWasUndoneCanBeTakenBackAgain) {
  const SequenceId grown = Grown(2);
  TakeCredit(grown);
  const SequenceId large = Open(kPinned);
  ASSERT_TRUE(Step(kPinned, large, kBlocks - 2));  // Asked for it in vain.
  UndoCredit(grown);
  ASSERT_TRUE(Step(kEngine, grown, 1));
  Feed(kPinned, CloseCommand{.sequence = large});
  const SequenceId larger = Open(kPinned);
  EXPECT_TRUE(Step(kPinned, larger, kBlocks));
  EXPECT_GE(revoked(), 1u);
}

TEST_F(Credits, ASequenceThatIsClosedOrSuspendedGivesItBack) {
  const SequenceId first = Grown(1);
  const SequenceId second = Grown(1);
  Feed(kEngine, CloseCommand{.sequence = first});
  Feed(kEngine, SuspendCommand{.sequence = second});
  EXPECT_FALSE(has_credit(first));
  EXPECT_FALSE(has_credit(second));
  EXPECT_EQ(lent(), 0u);
}

TEST_F(Credits, AnEngineThatIsGoneLeavesNone) {
  const SequenceId first = Grown(1);
  Grown(1);
  TakeCredit(first);
  Feed(kEngine, GoneCommand{});
  EXPECT_EQ(lent(), 0u);
  EXPECT_EQ(free_frames(), 2 * kBlocks);
}

TEST_F(Credits, NoneIsLentOfTheLastFreeBlock) {
  const SequenceId large = Open(kPinned);
  ASSERT_TRUE(Step(kPinned, large, kBlocks - 2));
  const SequenceId grown = Grown(1);
  EXPECT_FALSE(has_credit(grown));
}

TEST_F(Credits, AnotherNamespacesBytesAreScrubbedFirst) {
  const SequenceId other = Open(kPinned);
  ASSERT_TRUE(Step(kPinned, other, kBlocks));
  Feed(kPinned, CloseCommand{.sequence = other});
  const uint64_t before = core().metrics().copies_started[ChannelIndex(Channel::kScrub)];
  const SequenceId grown = Grown(1);
  EXPECT_TRUE(has_credit(grown));
  EXPECT_EQ(core().metrics().copies_started[ChannelIndex(Channel::kScrub)], before + 4);
}

// One namespace is nearly at its maximum, and its sequences ask first.
TEST(CreditsWithQuotas, WhoMayHaveNoneKeepsNobodyElseFromHavingOne) {
  PoolOptions options = Options();
  options.quotas.resize(1);
  options.quotas[0].tiers[TierIndex(Tier::kHbm)].max = 3;  // A block, and no room for two more.
  ServedCore core(options);
  core.Feed(kEngine, AttachCommand{NamespaceId{0}, /*message_free=*/true});
  core.Feed(kPinned, AttachCommand{NamespaceId{1}, /*message_free=*/true});
  const SequenceId bounded = core.Open(kEngine);
  ASSERT_TRUE(core.Step(kEngine, bounded, 1));
  const SequenceId free = core.Open(kPinned);
  ASSERT_TRUE(core.Step(kPinned, free, 1));
  EXPECT_TRUE(core.has_credit(free));
}

}  // namespace
}  // namespace kvpager
