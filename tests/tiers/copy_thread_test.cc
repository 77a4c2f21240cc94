// Proves that copies are right and complete on either side of the hand-over: a few stay with the
// caller, a backlog goes to the thread and the executor comes back, and nothing is lost when more
// arrives meanwhile or when the owner goes.

#include "tiers/hbm/copy_thread.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/hbm/device_executor.h"
#include "tiers/hbm/host_device.h"
#include "tiers/host/host_arena.h"

namespace kvpager {
namespace {

using testing::Await;
using testing::Fill;
using testing::HasFill;

constexpr uint32_t kFrames = 600;

struct Rig {
  Rig() {
    device = *HostDevice::Create({.frames = kFrames, .frame_bytes = geometry.frame_bytes_hbm()});
    arena = *HostArena::Create({.geometry = geometry, .frames = kFrames});
    executor = *DeviceExecutor::Create(
        {.device = device.get(), .arena = arena.get(), .geometry = geometry});
    copies = *CopyThread::Create(
        {.executor = executor.get(), .payload_bytes = geometry.payload_bytes()});
  }

  absl::Span<std::byte> HbmPayload(uint32_t frame) {
    return device->frame(FrameIndex{frame}).subspan(0, geometry.payload_bytes());
  }

  CopyOp ToHost(uint32_t frame) {
    return {.op = {.slot = next_op++, .generation = 1},
            .channel = Channel::kHbmToHost,
            .source = FrameIndex{frame},
            .target = FrameIndex{kFrames - 1 - frame},
            .page = PageIndex{frame}};
  }

  // Copies [begin, end) down, each frame with a content of its own.
  void Submit(uint32_t begin, uint32_t end) {
    std::vector<CopyOp> batch;
    for (uint32_t i = begin; i < end; ++i) {
      Fill(HbmPayload(i), i);
      batch.push_back(ToHost(i));
    }
    copies->Submit(batch);
  }

  // Until `all` has at least `count`.
  void Take(std::vector<Completion>& all, size_t count) {
    std::array<Completion, 64> some;
    while (all.size() < count) {
      const size_t got = copies->Poll(absl::MakeSpan(some));
      all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(got));
    }
  }

  void ExpectCopied(uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; ++i) {
      EXPECT_TRUE(HasFill(arena->payload(FrameIndex{kFrames - 1 - i}), i)) << i;
    }
  }

  Geometry geometry = testing::SmallGeometry();
  std::unique_ptr<HostDevice> device;
  std::unique_ptr<HostArena> arena;
  std::unique_ptr<DeviceExecutor> executor;
  std::unique_ptr<CopyThread> copies;
  uint32_t next_op = 0;
};

void ExpectEachOnce(const std::vector<Completion>& completions, uint32_t count) {
  std::vector<bool> seen(count);
  for (const Completion& completion : completions) {
    EXPECT_EQ(completion.outcome, Outcome::kOk);
    ASSERT_LT(completion.op.slot, count);
    EXPECT_FALSE(seen[completion.op.slot]) << completion.op.slot;
    seen[completion.op.slot] = true;
  }
}

TEST(CopyThread, FewCopiesStayWithTheCaller) {
  Rig rig;
  rig.Submit(0, 4);
  EXPECT_TRUE(rig.copies->wants_poll());
  ExpectEachOnce(Await(*rig.copies, 4), 4);
  rig.ExpectCopied(0, 4);
  EXPECT_EQ(rig.copies->handed_over(), 0u);
  EXPECT_FALSE(rig.copies->wants_poll());
}

TEST(CopyThread, ABacklogGoesToTheThreadAndTheExecutorComesBack) {
  Rig rig;
  rig.Submit(0, kFrames);
  EXPECT_EQ(rig.copies->handed_over(), 1u);
  ExpectEachOnce(Await(*rig.copies, kFrames), kFrames);
  rig.ExpectCopied(0, kFrames);
  EXPECT_FALSE(rig.copies->wants_poll());
  // A single copy afterwards is the caller's again, at the latest when the thread has looked once
  // more; either way it ends.
  rig.next_op = 0;
  rig.Submit(7, 8);
  ExpectEachOnce(Await(*rig.copies, 1), 1);
}

// What is submitted while the thread has the executor, often just as it gives it back.
TEST(CopyThread, NothingIsLostWhenMoreArrivesMeanwhile) {
  Rig rig;
  for (int round = 0; round < 50; ++round) {
    rig.next_op = 0;
    std::vector<Completion> completions;
    for (uint32_t begin = 0; begin < kFrames; begin += 50) {
      rig.Submit(begin, begin + 50);
      if (begin % 100 == 0) continue;
      rig.Take(completions, completions.size() + 60);
    }
    rig.Take(completions, kFrames);
    ExpectEachOnce(completions, kFrames);
  }
  rig.ExpectCopied(0, kFrames);
  EXPECT_GE(rig.copies->handed_over(), 1u);
}

TEST(CopyThread, FinishesWhatItHasWhenTheOwnerGoes) {
  Rig rig;
  rig.Submit(0, kFrames);
  rig.copies.reset();
  rig.ExpectCopied(0, kFrames);
  EXPECT_EQ(rig.executor->moved_bytes(Channel::kHbmToHost), kFrames * rig.geometry.payload_bytes());
}

TEST(CopyThread, NoticesWrongBytesOnTheThreadToo) {
  Rig rig;
  rig.Submit(0, kFrames);
  Await(*rig.copies, kFrames);
  rig.arena->payload(FrameIndex{kFrames - 1 - 5})[17] ^= std::byte{1};
  std::vector<CopyOp> up;
  for (uint32_t i = 0; i < 100; ++i) {
    up.push_back({.op = {.slot = i, .generation = 1},
                  .channel = Channel::kHostToHbm,
                  .source = FrameIndex{kFrames - 1 - i},
                  .target = FrameIndex{i},
                  .page = PageIndex{i}});
  }
  rig.copies->Submit(up);
  for (const Completion& completion : Await(*rig.copies, 100)) {
    EXPECT_EQ(completion.outcome, completion.op.slot == 5 ? Outcome::kCorrupt : Outcome::kOk);
  }
}

}  // namespace
}  // namespace kvpager
