// The core's tables against naive models under random operations: the prefix index against
// std::map, the LRU lists against one std::list, sequences against std::vector. Fixed seeds.

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "memmgr/core/limits.h"
#include "memmgr/core/lru_policy.h"
#include "memmgr/core/operation_table.h"
#include "memmgr/core/prefix_index.h"
#include "memmgr/core/sequence_table.h"
#include "memmgr/core/step_table.h"
#include "tests/testing/random.h"

namespace kvpager {
namespace {

TEST(PrefixIndex, AgreesWithAMapUnderInsertFindAndErase) {
  constexpr uint32_t kBlocks = 300;
  PrefixIndex index(kBlocks);
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> model;
  testing::Random random(11);
  for (int i = 0; i < 100'000; ++i) {
    // Few home slots and few distinct keys, so that clusters form, wrap around and shrink.
    const BlockKey key{{random.Below(40), 1 + random.Below(20)}};
    const auto at = model.find({key.words[0], key.words[1]});
    const BlockIndex found = index.Find(key);
    ASSERT_EQ(found.is_none(), at == model.end()) << "step " << i;
    if (at != model.end()) {
      ASSERT_EQ(found.value, at->second);
      if (random.Chance(600)) {
        index.Erase(key);
        model.erase(at);
      }
    } else if (model.size() < kBlocks) {
      const auto block = static_cast<uint32_t>(random.Below(kBlocks));
      index.Insert(key, BlockIndex{block});
      model[{key.words[0], key.words[1]}] = block;
    }
    ASSERT_EQ(index.size(), model.size());
  }
}

// All blocks in the order of use, and which of them each tier has.
class LruModel {
 public:
  bool Tracks(size_t tier, uint32_t block) const { return tiers_[tier].contains(block); }
  void Track(size_t tier, uint32_t block) {
    bool known = false;
    bool below = false;
    for (size_t other = 0; other < kTierCount; ++other) {
      known |= Tracks(other, block);
      below |= other > tier && Tracks(other, block);
    }
    tiers_[tier].insert(block);
    if (!known || below) Touch(block);
  }
  void Forget(size_t tier, uint32_t block) { tiers_[tier].erase(block); }
  void Touch(uint32_t block) {
    order_.remove(block);
    order_.push_back(block);
  }
  void Cool(uint32_t block) {
    order_.remove(block);
    order_.push_front(block);
  }
  std::vector<uint32_t> Order(size_t tier) const {
    std::vector<uint32_t> order;
    for (uint32_t block : order_) {
      if (Tracks(tier, block)) order.push_back(block);
    }
    return order;
  }

 private:
  std::list<uint32_t> order_;
  std::array<std::set<uint32_t>, kTierCount> tiers_;
};

std::vector<uint32_t> OrderOf(const LruPolicy& policy, Tier tier) {
  std::vector<uint32_t> order;
  for (BlockIndex at = policy.Coldest(tier); !at.is_none(); at = policy.Warmer(tier, at)) {
    order.push_back(at.value);
  }
  return order;
}

TEST(LruPolicy, EveryTierIsInTheOrderOfUse) {
  constexpr uint32_t kBlocks = 24;
  LruPolicy policy(kBlocks);
  LruModel model;
  testing::Random random(12);
  for (int i = 0; i < 20'000; ++i) {
    const auto block = static_cast<uint32_t>(random.Below(kBlocks));
    const auto index = static_cast<size_t>(random.Below(kTierCount));
    const auto tier = static_cast<Tier>(index);
    const bool tracked = model.Tracks(index, block);
    switch (random.Below(4)) {
      case 0:
        if (tracked) break;
        policy.Track(tier, BlockIndex{block});
        model.Track(index, block);
        break;
      case 1:
        if (!tracked) break;
        policy.Forget(tier, BlockIndex{block});
        model.Forget(index, block);
        break;
      case 2:
        policy.Touch(BlockIndex{block});
        model.Touch(block);
        break;
      default:
        policy.Cool(BlockIndex{block});
        model.Cool(block);
    }
    for (size_t other = 0; other < kTierCount; ++other) {
      ASSERT_EQ(OrderOf(policy, static_cast<Tier>(other)), model.Order(other)) << "step " << i;
    }
  }
}

// What is written to NVMe late must not look younger there than what was used after it.
TEST(LruPolicy, ABlockThatGoesDownKeepsTheTimeOfItsUse) {
  LruPolicy policy(8);
  for (uint32_t block : {0u, 1u, 2u}) policy.Track(Tier::kHost, BlockIndex{block});
  policy.Track(Tier::kNvme, BlockIndex{2});
  policy.Track(Tier::kNvme, BlockIndex{0});
  policy.Track(Tier::kNvme, BlockIndex{1});
  EXPECT_EQ(OrderOf(policy, Tier::kNvme), (std::vector<uint32_t>{0, 1, 2}));
}

TEST(LruPolicy, ABlockThatComesUpIsUsedNow) {
  LruPolicy policy(8);
  for (uint32_t block : {0u, 1u, 2u}) policy.Track(Tier::kNvme, BlockIndex{block});
  for (uint32_t block : {2u, 0u}) policy.Track(Tier::kHost, BlockIndex{block});
  EXPECT_EQ(OrderOf(policy, Tier::kHost), (std::vector<uint32_t>{2, 0}));
  EXPECT_EQ(OrderOf(policy, Tier::kNvme), (std::vector<uint32_t>{1, 2, 0}));
}

TEST(LruPolicy, ASweepMeetsEveryBlockOnceWhenNothingMoves) {
  LruPolicy policy(8);
  for (uint32_t block : {3u, 1u, 6u}) policy.Track(Tier::kHost, BlockIndex{block});
  EXPECT_TRUE(policy.Sweep(Tier::kHost).is_none());  // It starts behind the end.
  for (uint32_t block : {3u, 1u, 6u}) EXPECT_EQ(policy.Sweep(Tier::kHost).value, block);
  EXPECT_TRUE(policy.Sweep(Tier::kHost).is_none());
}

TEST(LruPolicy, ASweepCanStartFromTheColdestAgain) {
  LruPolicy policy(8);
  for (uint32_t block : {3u, 1u, 6u}) policy.Track(Tier::kHost, BlockIndex{block});
  policy.RestartSweep(Tier::kHost);
  EXPECT_EQ(policy.Sweep(Tier::kHost).value, 3u);
  EXPECT_EQ(policy.Sweep(Tier::kHost).value, 1u);
  policy.RestartSweep(Tier::kHost);
  EXPECT_EQ(policy.Sweep(Tier::kHost).value, 3u);
}

TEST(LruPolicy, ASweepSurvivesTheBlockItWouldReturnNext) {
  LruPolicy policy(8);
  for (uint32_t block : {3u, 1u, 6u}) policy.Track(Tier::kHost, BlockIndex{block});
  policy.Sweep(Tier::kHost);
  EXPECT_EQ(policy.Sweep(Tier::kHost).value, 3u);
  policy.Forget(Tier::kHost, BlockIndex{1});
  EXPECT_EQ(policy.Sweep(Tier::kHost).value, 6u);
}

Limits SmallLimits() {
  PoolOptions options;
  options.blocks_hbm = 64;
  options.blocks_host = 64;
  options.sequences_max = 4;
  options.clients_max = 2;
  options.steps_max = 4;
  return DeriveLimits(options).value();
}

TEST(SequenceTable, AgreesWithVectorsUnderPushPopAndReplace) {
  const Limits limits = SmallLimits();
  SequenceTable table(limits);
  std::vector<SequenceId> ids;
  std::vector<std::vector<uint32_t>> models(4);
  for (int i = 0; i < 4; ++i) ids.push_back(table.Open(ClientId{0}, NamespaceId{0}));
  EXPECT_TRUE(table.Open(ClientId{0}, NamespaceId{0}).is_none()) << "all slots are taken";
  testing::Random random(13);
  for (int i = 0; i < 50'000; ++i) {
    const auto which = static_cast<size_t>(random.Below(4));
    Sequence& sequence = *table.Find(ids[which]);
    std::vector<uint32_t>& model = models[which];
    const uint64_t choice = random.Below(100);
    if (choice < 55 && model.size() < 200) {
      const auto block = static_cast<uint32_t>(random.Below(1000));
      ASSERT_TRUE(table.PushBack(sequence, BlockIndex{block}));
      model.push_back(block);
    } else if (choice < 90 && !model.empty()) {
      ASSERT_EQ(table.PopBack(sequence).value, model.back());
      model.pop_back();
    } else if (!model.empty()) {
      const auto position = static_cast<uint32_t>(random.Below(model.size()));
      table.Replace(sequence, position, BlockIndex{7});
      model[position] = 7;
      ASSERT_EQ(table.At(sequence, position).value, 7u);
    }
    ASSERT_EQ(sequence.blocks, model.size());
    if (i % 100 != 0) continue;
    SequenceTable::Walk walk(table, sequence, 0);
    for (uint32_t block : model) {
      ASSERT_EQ(walk.block().value, block);
      walk.Next();
    }
    ASSERT_FALSE(walk.valid());
    if (model.empty()) continue;
    SequenceTable::Walk back(table, sequence, static_cast<uint32_t>(model.size()) - 1);
    for (size_t left = model.size(); left > 0; --left, back.Previous()) {
      ASSERT_EQ(back.block().value, model[left - 1]);
    }
    ASSERT_FALSE(back.valid());
  }
}

TEST(SequenceTable, AnIdOfAClosedSequenceIsNotFoundAgain) {
  SequenceTable table(SmallLimits());
  const SequenceId first = table.Open(ClientId{0}, NamespaceId{0});
  EXPECT_NE(first.value, 0u);
  table.Free(first);
  const SequenceId second = table.Open(ClientId{0}, NamespaceId{0});
  EXPECT_EQ(table.Find(first), nullptr);
  EXPECT_NE(table.Find(second), nullptr);
}

TEST(StepTable, RunsOutOfStepsAndGetsThemBack) {
  StepTable table(SmallLimits());
  std::vector<uint32_t> slots;
  for (int i = 0; i < 4; ++i) slots.push_back(table.Allocate(3));
  EXPECT_EQ(table.Allocate(1), kNoSlot);
  const uint32_t entries_left = table.entries_free();
  table.Free(slots[2]);
  EXPECT_EQ(table.entries_free(), entries_left + 3);
  EXPECT_EQ(table.Allocate(2), slots[2]);
}

TEST(OperationTableDeathTest, ACompletionThatComesTwiceIsCaught) {
  OperationTable table(SmallLimits());
  const OpId op = table.Start({.channel = Channel::kScrub});
  EXPECT_EQ(table.in_flight(Channel::kScrub), 1u);
  table.Finish(op);
  EXPECT_DEATH(table.Finish(op), "in_flight");
  table.Start({.channel = Channel::kScrub});  // The same slot, another generation.
  EXPECT_DEATH(table.Finish(op), "generation");
}

}  // namespace
}  // namespace kvpager
