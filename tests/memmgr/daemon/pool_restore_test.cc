// That after a start the core is told of the right blocks, oldest use first, and that entries which
// cannot be right go.

#include "memmgr/daemon/pool_restore.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace kvpager {
namespace {

BlockKey Key(uint64_t number) { return BlockKey{{number, ~number}}; }

CatalogueEntry Entry(uint64_t key, uint32_t frame, uint64_t stamp, uint64_t last_use,
                     bool durable = false) {
  return {Key(key), Key(key + 100), FrameIndex{frame}, Stamp{7, stamp}, last_use, durable};
}

std::vector<uint64_t> KeysOf(const RestorePlan& plan) {
  std::vector<uint64_t> keys;
  for (const RestoredBlock& block : plan.blocks) keys.push_back(block.key.words[0]);
  return keys;
}

TEST(PoolRestore, AfterACleanStopTheCatalogueIsBelievedOldestUseFirst) {
  const std::vector<CatalogueEntry> entries = {Entry(1, 0, 1, 30), Entry(2, 4, 2, 10, true),
                                               Entry(3, 8, 3, 20)};
  const RestorePlan plan = TrustCatalogue(entries);
  EXPECT_EQ(KeysOf(plan), (std::vector<uint64_t>{2, 3, 1}));
  EXPECT_TRUE(plan.blocks[0].durable);
  EXPECT_EQ(plan.blocks[0].parent_key, Key(102));
  EXPECT_TRUE(plan.repairs.empty());
}

TEST(PoolRestore, AfterAnUncleanStopTheCatalogueIsAHintOldestUseFirst) {
  const std::vector<CatalogueEntry> entries = {Entry(1, 0, 1, 30, true), Entry(2, 4, 2, 10)};
  const RestorePlan plan = TrustHints(entries, 7);
  EXPECT_EQ(KeysOf(plan), (std::vector<uint64_t>{2, 1}));
  EXPECT_TRUE(plan.blocks[1].durable);
  EXPECT_TRUE(plan.repairs.empty());
}

TEST(PoolRestore, OfSeveralHintsForOnePlaceTheNewestStays) {
  const std::vector<CatalogueEntry> entries = {Entry(1, 0, 5, 30), Entry(2, 0, 9, 10),
                                               Entry(3, 0, 7, 20, true), Entry(4, 4, 1, 5)};
  const RestorePlan plan = TrustHints(entries, 7);
  EXPECT_EQ(KeysOf(plan), (std::vector<uint64_t>{4, 2}));
  ASSERT_EQ(plan.repairs.size(), 2u);
  for (const CatalogueWrite& repair : plan.repairs) EXPECT_TRUE(repair.frame_first.is_none());
  EXPECT_EQ(plan.durable_lost, 1u);
}

TEST(PoolRestore, AStampOfTheLastIncarnationIsNewerThanAnyOther) {
  EXPECT_TRUE(IsNewer({7, 1}, {8, 5}, 7));
  EXPECT_FALSE(IsNewer({8, 5}, {7, 1}, 7));
  EXPECT_TRUE(IsNewer({8, 5}, {9, 4}, 7));
  EXPECT_FALSE(IsNewer({7, 1}, {7, 1}, 7));
}

}  // namespace
}  // namespace kvpager
