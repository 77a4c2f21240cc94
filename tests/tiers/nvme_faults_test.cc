// Proves, for io_uring and for threads alike, what the executors make of a device that fails, lies
// or hangs: the operation is reported as failed or as corrupt, never as good, and others go on.

#include <errno.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/tiers/faulty_device.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/nvme/frame_header.h"
#include "tiers/nvme/nvme_executor.h"

namespace kvpager {
namespace {

using testing::Await;
using testing::Fault;
using testing::FaultKind;
using testing::Fill;
using testing::HasFill;
using testing::Perform;

constexpr uint32_t kFrames = 64;

class NvmeFaults : public ::testing::TestWithParam<NvmeBackend> {
 protected:
  void SetUp() override {
    file_ = *PageFile::Open({.path = folder_.File("pages"),
                             .geometry = geometry_,
                             .model_fingerprint = "m",
                             .frames = kFrames,
                             .incarnation = 5,
                             .tap = &device_});
    device_.Attach(file_->path());
    arena_ = *HostArena::Create({.geometry = geometry_, .frames = kFrames});
    executor_ = *NvmeExecutor::Create(
        {.arena = arena_.get(), .file = file_.get(), .depth = 16, .backend = GetParam()});
  }

  // Page `page` lives in the host and NVMe frames of the same number and holds fill `page`.
  CopyOp Copy(Channel channel, uint32_t page, uint64_t stamp = 1) {
    return {.op = {.slot = ops_++, .generation = 1},
            .channel = channel,
            .source = FrameIndex{page},
            .target = FrameIndex{page},
            .page = PageIndex{page},
            .key = {{10, page}},
            .stamp = {.incarnation = 5, .counter = stamp},
            .group = page % 4};
  }
  Completion Write(uint32_t page, uint64_t stamp = 1) {
    Fill(arena_->payload(FrameIndex{page}), page + 100 * stamp);
    SetHostPart(arena_->header(FrameIndex{page}), PageIndex{page},
                arena_->payload(FrameIndex{page}));
    return Perform(*executor_, Copy(Channel::kHostToNvme, page, stamp));
  }
  Completion Read(uint32_t page, uint64_t stamp = 1) {
    Fill(arena_->payload(FrameIndex{page}), 0);
    return Perform(*executor_, Copy(Channel::kNvmeToHost, page, stamp));
  }
  void ExpectReads(uint32_t page, uint64_t stamp = 1) {
    EXPECT_EQ(Read(page, stamp).outcome, Outcome::kOk);
    EXPECT_TRUE(HasFill(arena_->payload(FrameIndex{page}), page + 100 * stamp));
  }

  testing::TempFolder folder_;
  Geometry geometry_ = testing::SmallGeometry();
  testing::FaultyDevice device_;
  std::unique_ptr<PageFile> file_;
  std::unique_ptr<HostArena> arena_;
  std::unique_ptr<NvmeExecutor> executor_;
  uint32_t ops_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Backends, NvmeFaults,
                         ::testing::Values(NvmeBackend::kAuto, NvmeBackend::kThreads),
                         [](const auto& test) {
                           return test.param == NvmeBackend::kAuto ? "Auto" : "Threads";
                         });

TEST_P(NvmeFaults, AReadThatTheDeviceRefusesIsFailedWithItsError) {
  Write(1);
  device_.Add({.kind = FaultKind::kError, .error = EIO});
  const Completion refused = Read(1);
  EXPECT_EQ(refused.outcome, Outcome::kFailed);
  EXPECT_EQ(refused.os_error, EIO);
  ExpectReads(1);
}

TEST_P(NvmeFaults, AWriteThatTheDeviceRefusesIsFailedAndCanBeRepeated) {
  for (const int error : {EIO, ENOSPC}) {
    device_.Add({.kind = FaultKind::kError, .write = true, .error = error});
    const Completion refused = Write(1);
    EXPECT_EQ(refused.outcome, Outcome::kFailed);
    EXPECT_EQ(refused.os_error, error);
    EXPECT_EQ(Write(1).outcome, Outcome::kOk);
    ExpectReads(1);
  }
}

TEST_P(NvmeFaults, AShortTransferIsFailed) {
  Write(1);
  device_.Add({.kind = FaultKind::kShort});
  EXPECT_EQ(Read(1).outcome, Outcome::kFailed);
  device_.Add({.kind = FaultKind::kShort, .write = true});
  EXPECT_EQ(Write(1).outcome, Outcome::kFailed);
  EXPECT_EQ(executor_->stats().failed, 2u);
}

TEST_P(NvmeFaults, FailuresInARowAreCountedUntilSomethingGoesWell) {
  Write(1);
  device_.Add({.kind = FaultKind::kError, .error = EIO, .times = 3});
  device_.Add({.kind = FaultKind::kError, .write = true, .error = EIO});
  for (int i = 0; i < 3; ++i) Read(1);
  Write(2);
  EXPECT_EQ(executor_->stats().failed_in_row, 4u);
  // A full disk is not a bad one.
  device_.Add({.kind = FaultKind::kError, .write = true, .error = ENOSPC});
  Write(2);
  EXPECT_EQ(executor_->stats().failed_in_row, 4u);
  ExpectReads(1);
  EXPECT_EQ(executor_->stats().failed_in_row, 0u);
  EXPECT_EQ(executor_->stats().failed, 5u);
}

// The device says that all of it has landed.
TEST_P(NvmeFaults, ATornWriteIsCorruptWhenItIsReadUnderTheOldStampAndUnderTheNew) {
  Write(1, 1);
  device_.Add({.kind = FaultKind::kTorn, .write = true});
  EXPECT_EQ(Write(1, 2).outcome, Outcome::kOk);
  EXPECT_EQ(Read(1, 2).outcome, Outcome::kCorrupt);
  EXPECT_EQ(Read(1, 1).outcome, Outcome::kCorrupt);
  Write(1, 3);
  ExpectReads(1, 3);
}

TEST_P(NvmeFaults, ASingleFlippedBitIsCorruptWhereverItIs) {
  const uint64_t header = geometry_.frame_bytes_hbm();
  for (const uint64_t byte : {uint64_t{0}, uint64_t{5000}, header + 30, header + 90}) {
    for (const bool write : {false, true}) {
      const Fault flip{.kind = FaultKind::kFlip, .write = write, .bit_byte = byte};
      if (write) device_.Add(flip);
      EXPECT_EQ(Write(1).outcome, Outcome::kOk);
      if (!write) device_.Add(flip);
      EXPECT_EQ(Read(1).outcome, Outcome::kCorrupt) << byte;
      EXPECT_EQ(Read(1).outcome, Outcome::kCorrupt) << "it is on the medium";
    }
  }
}

TEST_P(NvmeFaults, ASlowReadEndsWellHoweverLongItTakes) {
  Write(1);
  Write(2);
  device_.Add({.kind = FaultKind::kHeld});
  const CopyOp slow = Copy(Channel::kNvmeToHost, 1);
  executor_->Submit({&slow, 1});
  device_.AwaitHeld();
  std::array<Completion, 4> none;
  EXPECT_EQ(executor_->Poll(absl::MakeSpan(none)), 0u);
  if (GetParam() == NvmeBackend::kThreads) ExpectReads(2);  // Others go on meanwhile.
  device_.Release();
  const Completion done = Await(*executor_, 1).front();
  EXPECT_EQ(done.op, slow.op);
  EXPECT_EQ(done.outcome, Outcome::kOk);
  EXPECT_TRUE(HasFill(arena_->payload(FrameIndex{1}), 101));
}

TEST_P(NvmeFaults, ADeviceThatDisappearsFailsEverythingAndFlushesToo) {
  std::vector<CopyOp> reads;
  for (uint32_t page = 0; page < 20; ++page) {
    Write(page);
    reads.push_back(Copy(Channel::kNvmeToHost, page));
  }
  EXPECT_TRUE(file_->Flush().ok());
  device_.Add({.kind = FaultKind::kGone});
  executor_->Submit(reads);
  for (const Completion& done : Await(*executor_, reads.size())) {
    EXPECT_EQ(done.outcome, Outcome::kFailed);
    EXPECT_EQ(done.os_error, ENODEV);
  }
  EXPECT_EQ(Write(30).outcome, Outcome::kFailed);
  EXPECT_EQ(file_->Flush().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(file_->MarkClean().ok());
}

}  // namespace
}  // namespace kvpager
