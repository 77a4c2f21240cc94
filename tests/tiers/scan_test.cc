// Proves that a scan finds exactly the blocks whose every frame was written, in the order of their
// stamps, by io_uring and with threads alike.

#include "tiers/nvme/scan.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/nvme/frame_header.h"
#include "tiers/nvme/nvme_executor.h"

namespace kvpager {
namespace {

class ScanTest : public ::testing::TestWithParam<bool> {
 protected:
  ScanTest() { Reopen(1); }

  void Reopen(uint64_t incarnation) {
    file_.reset();
    auto file = PageFile::Open({.path = folder_.File("pages"),
                                .geometry = geometry_,
                                .model_fingerprint = "m",
                                .frames = kFrames,
                                .incarnation = incarnation});
    ASSERT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
  }
  // Writes one frame of a block whose key is {9, key}, whose parent is {9, key - 1}.
  void WriteFrame(uint32_t frame, uint64_t key, Stamp stamp, uint32_t group,
                  bool has_parent = true) {
    testing::Fill(arena_->payload(FrameIndex{0}), key);
    SetHostPart(arena_->header(FrameIndex{0}), PageIndex{1}, arena_->payload(FrameIndex{0}));
    const CopyOp copy{.op = {.slot = 1},
                      .channel = Channel::kHostToNvme,
                      .source = FrameIndex{0},
                      .target = FrameIndex{frame},
                      .page = PageIndex{1},
                      .key = key == 0 ? BlockKey() : BlockKey{{9, key}},
                      .parent_key = has_parent ? BlockKey{{9, key - 1}} : BlockKey(),
                      .stamp = stamp,
                      .group = group};
    auto executor = *NvmeExecutor::Create({.arena = arena_.get(), .file = file_.get()});
    ASSERT_EQ(testing::Perform(*executor, copy).outcome, Outcome::kOk);
  }
  void WriteBlock(uint32_t run, uint64_t key, Stamp stamp) {
    for (uint32_t group = 0; group < 4; ++group) WriteFrame(run * 4 + group, key, stamp, group);
  }
  ScanResult Scan() {
    auto result = ScanHeaders(*file_, {.depth = 8, .allow_uring = GetParam()});
    EXPECT_TRUE(result.ok()) << result.status();
    return *std::move(result);
  }

  static constexpr uint32_t kFrames = 80;
  testing::TempFolder folder_;
  Geometry geometry_ = testing::SmallGeometry();
  std::unique_ptr<PageFile> file_;
  std::unique_ptr<HostArena> arena_ = *HostArena::Create({.geometry = geometry_, .frames = 1});
};

INSTANTIATE_TEST_SUITE_P(Readers, ScanTest, ::testing::Values(true, false),
                         [](const auto& test) { return test.param ? "Auto" : "Threads"; });

TEST_P(ScanTest, OfANewFileFindsNothing) {
  const ScanResult result = Scan();
  EXPECT_TRUE(result.blocks.empty());
  EXPECT_EQ(result.runs_empty, kFrames / 4);
}

TEST_P(ScanTest, FindsExactlyTheWholeBlocksInTheOrderOfTheirStamps) {
  WriteBlock(3, 100, {1, 7});
  WriteBlock(0, 101, {1, 5});
  WriteBlock(19, 102, {1, 6});
  WriteBlock(5, 0, {1, 8});                                             // No name.
  for (uint32_t g = 0; g < 3; ++g) WriteFrame(24 + g, 103, {1, 9}, g);  // One frame missing.
  WriteBlock(7, 104, {1, 10});
  WriteFrame(29, 104, {1, 11}, 1);  // One frame of another stamp.
  WriteBlock(8, 105, {1, 12});
  WriteFrame(34, 106, {1, 12}, 2);  // One frame of another key.
  WriteBlock(9, 107, {1, 13});
  WriteFrame(37, 107, {1, 13}, 2);  // One frame of another group.
  const ScanResult result = Scan();
  ASSERT_EQ(result.blocks.size(), 3u);
  EXPECT_EQ(result.runs_unnamed, 1u);
  EXPECT_EQ(result.runs_torn, 4u);
  EXPECT_EQ(result.runs_empty, kFrames / 4 - 8);
  const struct {
    uint64_t key;
    uint32_t frame;
    uint64_t counter;
  } wanted[] = {{101, 0, 5}, {102, 76, 6}, {100, 12, 7}};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result.blocks[i].key, (BlockKey{{9, wanted[i].key}}));
    EXPECT_EQ(result.blocks[i].parent_key, (BlockKey{{9, wanted[i].key - 1}}));
    EXPECT_EQ(result.blocks[i].frame_first.value, wanted[i].frame);
    EXPECT_EQ(result.blocks[i].stamp, (Stamp{1, wanted[i].counter}));
    EXPECT_EQ(result.blocks[i].last_use, wanted[i].counter);
  }
}

TEST_P(ScanTest, TakesTheParentFromWhicheverFrameHasOne) {
  for (uint32_t g = 0; g < 4; ++g) WriteFrame(g, 100, {1, 7}, g, g == 2);
  for (uint32_t g = 0; g < 4; ++g) WriteFrame(4 + g, 200, {1, 8}, g, false);
  const ScanResult result = Scan();
  ASSERT_EQ(result.blocks.size(), 2u);
  EXPECT_EQ(result.blocks[0].parent_key, (BlockKey{{9, 99}}));
  EXPECT_TRUE(result.blocks[1].parent_key.is_none());
}

TEST_P(ScanTest, KeepsTheNewerOfTwoRunsWithOneKey) {
  WriteBlock(1, 100, {1, 7});
  WriteBlock(2, 100, {1, 9});
  WriteBlock(3, 100, {1, 8});
  const ScanResult result = Scan();
  ASSERT_EQ(result.blocks.size(), 1u);
  EXPECT_EQ(result.blocks[0].frame_first.value, 8u);
  EXPECT_EQ(result.runs_duplicate, 2u);
}

TEST_P(ScanTest, TakesTheIncarnationThatOpenedTheFileLastForNewer) {
  WriteBlock(1, 100, {1, 50});
  WriteBlock(2, 101, {1, 60});
  Reopen(2);
  WriteBlock(3, 100, {2, 3});
  Reopen(3);  // Its scan knows that 2 was the last.
  const ScanResult result = Scan();
  ASSERT_EQ(result.blocks.size(), 2u);
  EXPECT_EQ(result.blocks[0].key, (BlockKey{{9, 101}}));
  EXPECT_EQ(result.blocks[1].key, (BlockKey{{9, 100}}));
  EXPECT_EQ(result.blocks[1].frame_first.value, 12u);
}

}  // namespace
}  // namespace kvpager
