// Proves that the budget is kept over time, that an hour of it can be saved, that the bar rises as
// it runs out, and that a debt is worked off.

#include "memmgr/core/write_budget.h"

#include <cstdint>

#include "gtest/gtest.h"
#include "memmgr/core/block_table.h"
#include "memmgr/core/limits.h"

namespace kvpager {
namespace {

constexpr uint64_t kHourNs = uint64_t{3600} * 1'000'000'000;

Instant Hours(uint64_t hours) { return Instant{hours * kHourNs}; }

TEST(WriteBudget, WithoutALimitTheUsualTouchesAreEnough) {
  WriteBudget budget(0);
  budget.Advance(Hours(1));
  for (int i = 0; i < 1000; ++i) budget.Charge();
  EXPECT_EQ(budget.TouchesWanted(2), 2u);
  EXPECT_FALSE(budget.limited());
}

TEST(WriteBudget, SavesAnHourAndNoMore) {
  WriteBudget budget(24 * 100);
  budget.Advance(Hours(1000));
  EXPECT_EQ(budget.blocks_left(), 100u);
  for (int i = 0; i < 100; ++i) budget.Charge();
  EXPECT_EQ(budget.blocks_left(), 0u);
  budget.Advance(Instant{1000 * kHourNs + kHourNs / 2});
  EXPECT_EQ(budget.blocks_left(), 50u);
}

TEST(WriteBudget, EachHalvingAsksForOneTouchMore) {
  WriteBudget budget(24 * 256);
  budget.Advance(Hours(1));
  uint32_t left = 256;
  const auto charge_down_to = [&](uint32_t end) {
    for (; left > end; --left) budget.Charge();
  };
  charge_down_to(128);
  EXPECT_EQ(budget.TouchesWanted(1), 1u);
  EXPECT_EQ(budget.TouchesWanted(2), 2u);
  charge_down_to(127);
  EXPECT_EQ(budget.TouchesWanted(2), 3u);
  charge_down_to(63);
  EXPECT_EQ(budget.TouchesWanted(2), 4u);
  charge_down_to(2);
  EXPECT_EQ(budget.TouchesWanted(2), 8u);
  charge_down_to(1);
  EXPECT_EQ(budget.TouchesWanted(2), WriteBudget::kNeverWorthIt);
}

TEST(WriteBudget, OverADayWritesKeepToIt) {
  WriteBudget budget(1000);
  uint64_t written = 0;
  // Every second a block is seen for the second time.
  for (uint64_t second = 0; second < 86'400; ++second) {
    budget.Advance(Instant{second * 1'000'000'000});
    if (budget.TouchesWanted(2) > 2) continue;
    budget.Charge();
    ++written;
  }
  EXPECT_GE(written, 900u);
  EXPECT_LE(written, 1000u + 1000u / 24);
}

TEST(WriteBudget, ADebtIsWorkedOffAndIsADayAtMost) {
  WriteBudget budget(24);
  budget.Advance(Hours(1));
  for (int i = 0; i < 1000; ++i) budget.Charge();
  budget.Advance(Hours(24));
  EXPECT_EQ(budget.blocks_left(), 0u);
  EXPECT_EQ(budget.TouchesWanted(1), WriteBudget::kNeverWorthIt);
  budget.Advance(Hours(26));
  EXPECT_EQ(budget.blocks_left(), 1u);
}

TEST(WriteBudget, ABlockThatLostItsRunIsJudgedAgain) {
  PoolOptions options;
  options.page_tokens = 4;
  options.blocks_hbm = options.blocks_host = 4;
  options.blocks_nvme = 2;
  options.admission = Admission::kAlways;
  options.write_budget_blocks = 24;
  BlockTable blocks(*DeriveLimits(options));
  Effects effects;
  blocks.set_effects(&effects);
  const BlockIndex index = blocks.Allocate(NamespaceId{0}, BlockIndex{}, 0);
  const PageIndex page = blocks.page_of(index, 0);
  blocks.AddReference(index);
  blocks.FillStart(page, Tier::kHost, FrameIndex{blocks.frames(Tier::kHost).Take()});
  blocks.FillDone(page, Tier::kHost);
  blocks.Seal(index);
  blocks.RemoveReference(index);
  EXPECT_TRUE(blocks.Admitted(blocks.block(index)));
  EXPECT_EQ(blocks.clean_pages(Tier::kHost), 0u);
  blocks.write_budget().Charge();
  blocks.Readmit(index);
  EXPECT_FALSE(blocks.Admitted(blocks.block(index)));
  EXPECT_EQ(blocks.clean_pages(Tier::kHost), 1u);  // It may be dropped as it is.
}

}  // namespace
}  // namespace kvpager
