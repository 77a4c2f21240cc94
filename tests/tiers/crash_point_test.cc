// Proves that a process dies at every named point of the tiers, and that what it leaves behind is
// opened again: a block that was acknowledged durable is in the catalogue and readable; any other
// is found whole or not at all.
//
// Each case runs crash_point_daemon: open, write one block, make it durable, close.

#include "memmgr/base/crash_point.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "tests/tiers/crash_point_scene.h"
#include "tiers/nvme/scan.h"

namespace kvpager {
namespace {

using testing::kKey;
using testing::kStamp;
using testing::Tiers;

// Opens what is left and checks it against what was acknowledged.
void CheckRemains(const std::string& folder, bool acknowledged) {
  Tiers tiers(folder, 8);
  ASSERT_TRUE(tiers.status.ok()) << tiers.status;
  bool listed = false;
  const absl::Status status = tiers.catalogue->ForEach([&](const CatalogueEntry& entry) {
    EXPECT_EQ(entry.key, kKey);
    EXPECT_EQ(entry.stamp, kStamp);
    listed = listed || entry.durable;
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(listed || !acknowledged);
  const auto scan = ScanHeaders(*tiers.file);
  ASSERT_TRUE(scan.ok());
  EXPECT_TRUE(!listed || scan->blocks.size() == 1u);
  for (const ScannedBlock& block : scan->blocks) {
    for (uint32_t group = 0; group < 4; ++group) {
      const CopyOp read =
          tiers.Copy(Channel::kNvmeToHost, group, block.frame_first.value + group, group);
      EXPECT_EQ(testing::Perform(*tiers.executor, read).outcome, Outcome::kOk);
      EXPECT_TRUE(testing::HasFill(tiers.arena->payload(FrameIndex{group}), group));
    }
  }
}

// True if the child was killed at the point.
bool KilledAt(const std::string& where) {
  SCOPED_TRACE(where);
  const testing::TempFolder folder;
  int ends[2];
  KVP_CHECK_EQ(pipe(ends), 0);
  const int status = testing::RunInChild([&] {
    setenv("KVPAGER_CRASH_AT", where.c_str(), 1);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execl(KVP_CRASH_POINT_DAEMON, KVP_CRASH_POINT_DAEMON, folder.path().c_str(), nullptr);
    return 1;
  });
  close(ends[1]);
  char byte = 0;
  const bool acknowledged = read(ends[0], &byte, 1) == 1;
  close(ends[0]);
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  EXPECT_TRUE(killed || testing::ExitedWell(status)) << status;
  CheckRemains(folder.path(), acknowledged);
  return killed;
}

bool IsOfTheTiers(std::string_view name) {
  for (std::string_view prefix : {"page_file_", "superblock_", "nvme_", "catalogue_"}) {
    if (name.starts_with(prefix)) return true;
  }
  return false;
}

TEST(CrashPoints, EveryOneOfTheTiersKillsAndLeavesSomethingThatOpens) {
#ifndef KVPAGER_CRASH_POINTS
  GTEST_SKIP() << "built without crash points";
#endif
  int points = 0;
  for (std::string_view name : kCrashPoints) {
    if (!IsOfTheTiers(name)) continue;
    ++points;
    EXPECT_TRUE(KilledAt(std::string(name))) << std::string(name);
  }
  EXPECT_GE(points, 8);
  // The second superblock (the first says "allocating"), and the one that says "clean".
  EXPECT_TRUE(KilledAt("superblock_written:2"));
  EXPECT_TRUE(KilledAt("superblock_written:3"));
  EXPECT_TRUE(KilledAt("nvme_write_completed:3"));
}

TEST(CrashPoints, DoNothingWithoutBeingAskedFor) {
  EXPECT_FALSE(KilledAt("no_such_point"));
  EXPECT_FALSE(KilledAt("superblock_written:99"));
}

TEST(CrashPoints, HaveDistinctNames) {
  std::set<std::string_view> names(std::begin(kCrashPoints), std::end(kCrashPoints));
  EXPECT_EQ(names.size(), std::size(kCrashPoints));
}

}  // namespace
}  // namespace kvpager
