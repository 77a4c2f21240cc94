// Proves that a scan on its own thread hands out every run of the file once, in order, whatever the
// window, and that it can be left at any time.

#include "tiers/nvme/background_scan.h"

#include <poll.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "gtest/gtest.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/nvme/frame_header.h"
#include "tiers/nvme/nvme_executor.h"

namespace kvpager {
namespace {

constexpr uint32_t kGroups = 4;  // Of SmallGeometry.
constexpr uint32_t kRuns = 20;

class BackgroundScanTest : public ::testing::Test {
 protected:
  BackgroundScanTest() {
    auto file = PageFile::Open({.path = folder_.File("pages"),
                                .geometry = geometry_,
                                .model_fingerprint = "m",
                                .frames = kRuns * kGroups,
                                .incarnation = 1});
    EXPECT_TRUE(file.ok()) << file.status();
    file_ = *std::move(file);
  }

  void WriteBlock(uint32_t run) {
    testing::Fill(arena_->payload(FrameIndex{0}), run);
    SetHostPart(arena_->header(FrameIndex{0}), PageIndex{1}, arena_->payload(FrameIndex{0}));
    auto executor = *NvmeExecutor::Create({.arena = arena_.get(), .file = file_.get()});
    for (uint32_t group = 0; group < kGroups; ++group) {
      const CopyOp copy{.op = {.slot = 1},
                        .channel = Channel::kHostToNvme,
                        .source = FrameIndex{0},
                        .target = FrameIndex{run * kGroups + group},
                        .page = PageIndex{1},
                        .key = {{9, run + 1}},
                        .parent_key = {},
                        .stamp = {1, run + 1},
                        .group = group};
      ASSERT_EQ(testing::Perform(*executor, copy).outcome, Outcome::kOk);
    }
  }

  // Waits for it, as the loop does.
  static std::optional<ScannedRun> NextOf(BackgroundScan& scan) {
    while (!scan.has_next() && !scan.finished()) {
      pollfd ready{.fd = scan.ready_fd(), .events = POLLIN, .revents = 0};
      EXPECT_EQ(poll(&ready, 1, 10'000), 1);
    }
    return scan.Next();
  }

  testing::TempFolder folder_;
  Geometry geometry_ = testing::SmallGeometry();
  std::unique_ptr<PageFile> file_;
  std::unique_ptr<HostArena> arena_ = *HostArena::Create({.geometry = geometry_, .frames = 1});
};

TEST_F(BackgroundScanTest, HandsOutEveryRunOnceInOrder) {
  for (const uint32_t run : {0u, 7u, 19u}) WriteBlock(run);
  for (const uint32_t window_frames : {1u, 4u, 12u, 1000u}) {
    SCOPED_TRACE(window_frames);
    auto scan = *BackgroundScan::Start(*file_, {.depth = 4, .window_frames = window_frames});
    for (uint32_t run = 0; run < kRuns; ++run) {
      const std::optional<ScannedRun> found = NextOf(*scan);
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->block.frame_first, FrameIndex{run * kGroups});
      const bool written = run == 0 || run == 7 || run == 19;
      EXPECT_EQ(found->state, written ? ScannedRun::State::kBlock : ScannedRun::State::kEmpty);
      EXPECT_EQ(found->block.key, written ? (BlockKey{{9, run + 1}}) : BlockKey());
    }
    EXPECT_FALSE(NextOf(*scan).has_value());
    EXPECT_TRUE(scan->finished());
    EXPECT_EQ(scan->windows_failed(), 0u);
  }
}

TEST_F(BackgroundScanTest, CanBeLeftAtAnyTime) {
  for (uint32_t taken = 0; taken < 5; ++taken) {
    auto scan = *BackgroundScan::Start(*file_, {.depth = 4, .window_frames = 4});
    for (uint32_t i = 0; i < taken; ++i) EXPECT_TRUE(NextOf(*scan).has_value());
  }
}

}  // namespace
}  // namespace kvpager
