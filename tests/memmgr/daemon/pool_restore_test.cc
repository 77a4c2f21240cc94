// That after a start the core is told of the right blocks, oldest use first, and that the catalogue
// is repaired to agree with the headers.

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

ScannedBlock Scanned(uint64_t key, uint32_t frame, uint64_t stamp) {
  return {Key(key), Key(key + 100), FrameIndex{frame}, Stamp{7, stamp}, stamp, false};
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

TEST(PoolRestore, AfterAnUncleanStopAgreeingEntriesGiveUseAndDurability) {
  const std::vector<CatalogueEntry> entries = {Entry(1, 0, 1, 30, true), Entry(2, 4, 2, 10)};
  const std::vector<ScannedBlock> scanned = {Scanned(1, 0, 1), Scanned(2, 4, 2)};
  const RestorePlan plan = TrustHeaders(entries, scanned);
  EXPECT_EQ(KeysOf(plan), (std::vector<uint64_t>{2, 1}));
  EXPECT_EQ(plan.blocks[1].last_use, 30u);
  EXPECT_TRUE(plan.blocks[1].durable);
  EXPECT_FALSE(plan.blocks[0].durable);
  EXPECT_TRUE(plan.repairs.empty());
}

TEST(PoolRestore, BlocksTheCatalogueMissedCountAsUsedLastInOrderOfStamp) {
  const std::vector<CatalogueEntry> entries = {Entry(1, 0, 1, 30)};
  const std::vector<ScannedBlock> scanned = {Scanned(5, 8, 0), Scanned(1, 0, 1), Scanned(6, 12, 9)};
  const RestorePlan plan = TrustHeaders(entries, scanned);
  EXPECT_EQ(KeysOf(plan), (std::vector<uint64_t>{1, 5, 6}));
  ASSERT_EQ(plan.repairs.size(), 2u);
  EXPECT_EQ(plan.repairs[0].key, Key(5));
  EXPECT_EQ(plan.repairs[0].frame_first, FrameIndex{8});
  EXPECT_GT(plan.repairs[0].last_use, 30u);
}

TEST(PoolRestore, AnotherStampOrPlaceIsNotTheEntrysBlock) {
  const std::vector<CatalogueEntry> entries = {Entry(1, 0, 1, 30, true), Entry(2, 4, 2, 10, true)};
  const std::vector<ScannedBlock> scanned = {Scanned(1, 0, 5), Scanned(2, 8, 2)};
  const RestorePlan plan = TrustHeaders(entries, scanned);
  ASSERT_EQ(plan.blocks.size(), 2u);
  EXPECT_FALSE(plan.blocks[0].durable);
  EXPECT_FALSE(plan.blocks[1].durable);
  EXPECT_EQ(plan.repairs.size(), 2u);
  EXPECT_EQ(plan.repairs[0].stamp, (Stamp{7, 5}));
}

TEST(PoolRestore, EntriesWithoutABlockAreRemoved) {
  const std::vector<CatalogueEntry> entries = {Entry(1, 0, 1, 30)};
  const RestorePlan plan = TrustHeaders(entries, {});
  EXPECT_TRUE(plan.blocks.empty());
  ASSERT_EQ(plan.repairs.size(), 1u);
  EXPECT_EQ(plan.repairs[0].key, Key(1));
  EXPECT_TRUE(plan.repairs[0].frame_first.is_none());
}

}  // namespace
}  // namespace kvpager
