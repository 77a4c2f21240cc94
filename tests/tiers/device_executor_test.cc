// Proves that every channel of the device moves the right bytes and notices wrong ones, that urgent
// copies overtake demotions (R7), and that one Poll does a bounded slice of work.

#include "tiers/hbm/device_executor.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memmgr/base/units.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/hbm/host_device.h"
#include "tiers/nvme/frame_header.h"

namespace kvpager {
namespace {

using testing::Await;
using testing::Fill;
using testing::HasFill;
using testing::Perform;

struct Rig {
  explicit Rig(const Geometry& shape, uint32_t frames = 8) : geometry(shape) {
    device = *HostDevice::Create({.frames = frames, .frame_bytes = geometry.frame_bytes_hbm()});
    arena = *HostArena::Create({.geometry = geometry, .frames = frames});
    executor = *DeviceExecutor::Create(
        {.device = device.get(), .arena = arena.get(), .geometry = geometry});
  }

  absl::Span<std::byte> HbmPayload(uint32_t frame) {
    return device->frame(FrameIndex{frame}).subspan(0, geometry.payload_bytes());
  }

  CopyOp Copy(Channel channel, uint32_t source, uint32_t target, uint32_t page) {
    return {.op = {.slot = next_op++, .generation = 1},
            .channel = channel,
            .source = FrameIndex{source},
            .target = FrameIndex{target},
            .page = PageIndex{page}};
  }

  Geometry geometry;
  std::unique_ptr<HostDevice> device;
  std::unique_ptr<HostArena> arena;
  std::unique_ptr<DeviceExecutor> executor;
  uint32_t next_op = 0;
};

// One page of 5 MiB: larger than a slice and than a demotion piece, and no multiple of either.
Geometry LargeGeometry() {
  return {.page_tokens = 16,
          .num_layers = 5,
          .layers_per_page = 5,
          .num_kv_heads = 64,
          .head_dim_k = 260,
          .head_dim_v = 260};
}

TEST(DeviceExecutor, RoundTripsAPageOfAnySize) {
  for (const Geometry& geometry : {testing::SmallGeometry(), LargeGeometry()}) {
    Rig rig(geometry);
    Fill(rig.HbmPayload(1), 11);
    EXPECT_EQ(Perform(*rig.executor, rig.Copy(Channel::kHbmToHost, 1, 2, 9)).outcome, Outcome::kOk);
    EXPECT_TRUE(HasFill(rig.arena->payload(FrameIndex{2}), 11));
    EXPECT_TRUE(
        HostPartNames(rig.arena->header(FrameIndex{2}), PageIndex{9}, geometry.payload_bytes()));
    EXPECT_EQ(Perform(*rig.executor, rig.Copy(Channel::kHostToHbm, 2, 3, 9)).outcome, Outcome::kOk);
    EXPECT_TRUE(HasFill(rig.HbmPayload(3), 11));
    EXPECT_EQ(rig.executor->moved_bytes(Channel::kHostToHbm), geometry.payload_bytes());
    EXPECT_FALSE(rig.executor->wants_poll());
  }
}

TEST(DeviceExecutor, CopiesWithinHbmAndScrubsWholeFrames) {
  Rig rig(testing::SmallGeometry());
  Fill(rig.HbmPayload(1), 11);
  EXPECT_EQ(Perform(*rig.executor, rig.Copy(Channel::kHbmToHbm, 1, 5, 9)).outcome, Outcome::kOk);
  EXPECT_TRUE(HasFill(rig.HbmPayload(5), 11));
  EXPECT_EQ(Perform(*rig.executor, rig.Copy(Channel::kScrub, FrameIndex::kNone, 1, 9)).outcome,
            Outcome::kOk);
  EXPECT_THAT(rig.device->frame(FrameIndex{1}), ::testing::Each(std::byte{0}));
  EXPECT_TRUE(HasFill(rig.HbmPayload(5), 11));
}

TEST(DeviceExecutor, ReportsAFlippedByteInAHostFrameAsCorrupt) {
  for (const Geometry& geometry : {testing::SmallGeometry(), LargeGeometry()}) {
    Rig rig(geometry);
    Fill(rig.HbmPayload(1), 11);
    Perform(*rig.executor, rig.Copy(Channel::kHbmToHost, 1, 2, 9));
    for (uint64_t at : {uint64_t{0}, geometry.payload_bytes() / 2, geometry.payload_bytes() - 1}) {
      rig.arena->frame(FrameIndex{2})[at] ^= std::byte{4};
      EXPECT_EQ(Perform(*rig.executor, rig.Copy(Channel::kHostToHbm, 2, 3, 9)).outcome,
                Outcome::kCorrupt);
      rig.arena->frame(FrameIndex{2})[at] ^= std::byte{4};
    }
    EXPECT_EQ(Perform(*rig.executor, rig.Copy(Channel::kHostToHbm, 2, 3, 9)).outcome, Outcome::kOk);
  }
}

TEST(DeviceExecutor, ReportsAnotherPageInAHostFrameAsCorrupt) {
  Rig rig(testing::SmallGeometry());
  Perform(*rig.executor, rig.Copy(Channel::kHbmToHost, 1, 2, 9));
  EXPECT_EQ(Perform(*rig.executor, rig.Copy(Channel::kHostToHbm, 2, 3, 8)).outcome,
            Outcome::kCorrupt);
  // A frame that never held a page.
  EXPECT_EQ(Perform(*rig.executor, rig.Copy(Channel::kHostToHbm, 4, 3, 0)).outcome,
            Outcome::kCorrupt);
}

TEST(DeviceExecutor, PromotesBeforeItDemotes) {
  Rig rig(LargeGeometry());
  Fill(rig.HbmPayload(0), 1);
  Perform(*rig.executor, rig.Copy(Channel::kHbmToHost, 0, 0, 100));
  std::vector<CopyOp> demotions;
  for (uint32_t i = 1; i < 5; ++i) {
    demotions.push_back(rig.Copy(Channel::kHbmToHost, i, i, 100 + i));
  }
  rig.executor->Submit(demotions);
  const CopyOp promotion = rig.Copy(Channel::kHostToHbm, 0, 7, 100);
  rig.executor->Submit({&promotion, 1});
  const std::vector<Completion> completions = Await(*rig.executor, 5);
  EXPECT_EQ(completions.front().op, promotion.op);
  for (const Completion& completion : completions) EXPECT_EQ(completion.outcome, Outcome::kOk);
  EXPECT_TRUE(HasFill(rig.HbmPayload(7), 1));
}

TEST(DeviceExecutor, DoesABoundedSliceOfWorkInOnePoll) {
  Rig rig(LargeGeometry());
  const CopyOp copy = rig.Copy(Channel::kHbmToHost, 0, 0, 1);
  rig.executor->Submit({&copy, 1});
  // 5 MiB of copying and of checksums, at most a slice of each in a Poll.
  Completion completion;
  const uint64_t polls_min = CeilDiv(rig.geometry.payload_bytes(), HostDevice::kSliceBytes);
  for (uint64_t i = 0; i + 1 < polls_min; ++i) {
    EXPECT_EQ(rig.executor->Poll({&completion, 1}), 0u);
    EXPECT_TRUE(rig.executor->wants_poll());
  }
  EXPECT_EQ(Await(*rig.executor, 1).front().outcome, Outcome::kOk);
}

TEST(DeviceExecutor, CompletesManyMoreThanTheDeviceTakesAtOnce) {
  Rig rig(testing::SmallGeometry(), 600);
  std::vector<CopyOp> copies;
  for (uint32_t i = 0; i < 600; ++i) {
    Fill(rig.HbmPayload(i), i);
    copies.push_back(rig.Copy(Channel::kHbmToHost, i, 599 - i, i));
  }
  rig.executor->Submit(copies);
  std::vector<bool> seen(copies.size());
  for (const Completion& completion : Await(*rig.executor, 600)) {
    EXPECT_EQ(completion.outcome, Outcome::kOk);
    ASSERT_LT(completion.op.slot, seen.size());
    EXPECT_FALSE(seen[completion.op.slot]);
    seen[completion.op.slot] = true;
  }
  for (uint32_t i = 0; i < 600; ++i) {
    ASSERT_TRUE(HasFill(rig.arena->payload(FrameIndex{599 - i}), i));
  }
}

TEST(DeviceExecutor, RefusesTiersOfAnotherGeometry) {
  Rig rig(testing::SmallGeometry());
  const auto executor = DeviceExecutor::Create(
      {.device = rig.device.get(), .arena = rig.arena.get(), .geometry = LargeGeometry()});
  EXPECT_EQ(executor.status().code(), absl::StatusCode::kInvalidArgument);
}

// A device whose copies fail: the error must come back, whatever the channel.
class BrokenDevice final : public Device {
 public:
  std::byte* pool_base() const override { return nullptr; }
  bool cpu_addressable() const override { return false; }
  uint64_t frame_bytes() const override { return testing::SmallGeometry().frame_bytes_hbm(); }
  uint32_t frames() const override { return 8; }
  absl::Span<const DevicePart> parts() const override { return {}; }
  absl::Status RegisterHostMemory(std::byte*, uint64_t) override { return absl::OkStatus(); }
  uint32_t copies_max() const override { return 2; }
  void Submit(absl::Span<const DeviceCopy> copies) override {
    for (const DeviceCopy& copy : copies) queue_.push_back(copy.id);
    EXPECT_LE(queue_.size(), 2u);
  }
  size_t Poll(absl::Span<DeviceDone> out) override {
    if (queue_.empty()) return 0;
    out[0] = {.id = queue_.back(), .error = 7};
    queue_.pop_back();
    return 1;
  }
  bool wants_poll() const override { return !queue_.empty(); }
  std::string_view detail() const override { return "broken"; }

 private:
  std::vector<uint64_t> queue_;
};

TEST(DeviceExecutor, ReportsAnErrorOfTheDeviceAsFailed) {
  Rig rig(testing::SmallGeometry());
  SetHostPart(rig.arena->header(FrameIndex{1}), PageIndex{1}, rig.arena->payload(FrameIndex{1}));
  BrokenDevice device;
  auto executor = DeviceExecutor::Create(
      {.device = &device, .arena = rig.arena.get(), .geometry = rig.geometry});
  ASSERT_TRUE(executor.ok());
  (*executor)->Submit(std::vector<CopyOp>{
      rig.Copy(Channel::kHbmToHost, 0, 0, 0), rig.Copy(Channel::kHostToHbm, 1, 1, 1),
      rig.Copy(Channel::kHbmToHbm, 2, 3, 2), rig.Copy(Channel::kScrub, 0, 4, 4)});
  for (const Completion& completion : Await(**executor, 4)) {
    EXPECT_EQ(completion.outcome, Outcome::kFailed);
    EXPECT_EQ(completion.os_error, 7);
  }
}

}  // namespace
}  // namespace kvpager
