// Proves which frames leave limbo when, and for whom they wait.

#include "memmgr/core/limbo.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace kvpager {
namespace {

constexpr uint32_t kFrames = 8;
constexpr uint32_t kClients = 3;

class LimboTest : public ::testing::Test {
 protected:
  LimboTest() : limbo_(kFrames, kClients), users_(kClients) {
    for (uint32_t i = 0; i < kClients; ++i) users_[i] = {true, NamespaceId{i / 2}, {}};
  }

  std::vector<uint32_t> Release() {
    std::vector<uint32_t> frames;
    limbo_.Release(users_,
                   [&](FrameIndex frame, NamespaceId, ClientId) { frames.push_back(frame.value); });
    return frames;
  }
  void Begin(uint32_t client, uint64_t number, uint32_t lane = 0) {
    users_[client].lanes.begun[lane] = number;
  }
  void End(uint32_t client, uint64_t number, uint32_t lane = 0) {
    users_[client].lanes.done[lane] = number;
  }

  Limbo limbo_;
  std::vector<LaneUser> users_;
};

using Frames = std::vector<uint32_t>;

TEST_F(LimboTest, AFrameThatNoStepCanReadPassesAtOnce) {
  limbo_.Add(FrameIndex{3}, {.name_space = NamespaceId{0}});
  limbo_.Stamp(users_, Instant{1});
  EXPECT_EQ(Release(), Frames{3});
  EXPECT_EQ(limbo_.count(), 0u);
}

TEST_F(LimboTest, NothingPassesBeforeItIsStamped) {
  limbo_.Add(FrameIndex{3}, {.name_space = NamespaceId{0}});
  EXPECT_TRUE(limbo_.unstamped());
  EXPECT_EQ(Release(), Frames{});
  EXPECT_EQ(limbo_.count(), 1u);
}

TEST_F(LimboTest, AFrameWaitsForTheStepThatHadBegun) {
  Begin(0, 5);
  End(0, 4);
  limbo_.Add(FrameIndex{3}, {.name_space = NamespaceId{0}});
  limbo_.Stamp(users_, Instant{1});
  Begin(0, 6);
  EXPECT_EQ(Release(), Frames{});
  End(0, 5);
  EXPECT_EQ(Release(), Frames{3});
}

TEST_F(LimboTest, EveryLaneOfEveryEngineOfTheNamespaceIsWaitedFor) {
  Begin(0, 1, 2);
  Begin(1, 7, 7);
  limbo_.Add(FrameIndex{0}, {.name_space = NamespaceId{0}});
  limbo_.Stamp(users_, Instant{1});
  End(0, 1, 2);
  EXPECT_EQ(Release(), Frames{});
  End(1, 7, 7);
  EXPECT_EQ(Release(), Frames{0});
}

TEST_F(LimboTest, EnginesOfOtherNamespacesAreNotWaitedFor) {
  Begin(2, 9);
  limbo_.Add(FrameIndex{0}, {.name_space = NamespaceId{0}});
  limbo_.Add(FrameIndex{1}, {.name_space = NamespaceId{1}});
  limbo_.Stamp(users_, Instant{1});
  EXPECT_EQ(Release(), Frames{0});
  EXPECT_EQ(limbo_.count(), 1u);
}

TEST_F(LimboTest, AGoneEngineIsNotWaitedForNorTheNextInItsSlot) {
  Begin(0, 9);
  limbo_.Add(FrameIndex{0}, {.name_space = NamespaceId{0}});
  limbo_.Stamp(users_, Instant{1});
  limbo_.Forget(ClientId{0});
  users_[0] = {true, NamespaceId{0}, {}};
  EXPECT_EQ(Release(), Frames{0});
}

TEST_F(LimboTest, WhatStaysLongIsNotCountedOn) {
  Begin(0, 9);
  limbo_.Add(FrameIndex{0}, {.name_space = NamespaceId{0}});
  EXPECT_EQ(limbo_.coming(Instant{1}), 1u);
  limbo_.Stamp(users_, Instant{1});
  limbo_.Add(FrameIndex{1}, {.name_space = NamespaceId{0}});
  EXPECT_EQ(limbo_.coming(Instant{1'000}), 2u);
  EXPECT_EQ(limbo_.coming(Instant{1'000'000'000}), 1u);
  EXPECT_EQ(limbo_.count(), 2u);
}

TEST_F(LimboTest, AFrameThatIsTakenBackLeavesTheOthersWhereTheyAre) {
  Begin(0, 5);
  for (uint32_t frame = 0; frame < 4; ++frame) {
    limbo_.Add(FrameIndex{frame}, {.page = PageIndex{10 + frame}, .name_space = NamespaceId{0}});
  }
  limbo_.Remove(FrameIndex{1});  // Not stamped yet.
  limbo_.Stamp(users_, Instant{1});
  EXPECT_TRUE(limbo_.Holds(FrameIndex{3}, PageIndex{13}, 0, NamespaceId{0}));
  EXPECT_FALSE(limbo_.Holds(FrameIndex{3}, PageIndex{12}, 0, NamespaceId{0}));
  EXPECT_FALSE(limbo_.Holds(FrameIndex{3}, PageIndex{13}, 1, NamespaceId{0}));
  EXPECT_FALSE(limbo_.Holds(FrameIndex{3}, PageIndex{13}, 0, NamespaceId{1}));
  EXPECT_FALSE(limbo_.Holds(FrameIndex{1}, PageIndex{11}, 0, NamespaceId{0}));
  limbo_.Remove(FrameIndex{3});
  EXPECT_EQ(limbo_.count(), 2u);
  End(0, 5);
  EXPECT_EQ(Release(), (Frames{0, 2}));
  EXPECT_EQ(limbo_.count(), 0u);
}

TEST_F(LimboTest, MoreBatchesThanThereIsRoomForOnlyWaitLonger) {
  Limbo limbo(500, kClients);
  for (uint32_t i = 0; i < 500; ++i) {
    Begin(0, i + 1);
    limbo.Add(FrameIndex{i}, {.name_space = NamespaceId{0}});
    limbo.Stamp(users_, Instant{1});
  }
  uint32_t freed = 0;
  End(0, 10);
  limbo.Release(users_, [&](FrameIndex frame, NamespaceId, ClientId) {
    EXPECT_LT(frame.value, 10u);
    ++freed;
  });
  EXPECT_EQ(freed, 10u);
  End(0, 500);
  limbo.Release(users_, [&](FrameIndex, NamespaceId, ClientId) { ++freed; });
  EXPECT_EQ(freed, 500u);
  EXPECT_EQ(limbo.count(), 0u);
}

}  // namespace
}  // namespace kvpager
