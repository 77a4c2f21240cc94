#include "engine_plugin/frame_list.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

namespace kvpager::engine {
namespace {

TEST(FrameList, ThatIsNewIsEmpty) { EXPECT_EQ(FrameList().size(), 0u); }

TEST(FrameList, ThatGrowsKeepsItsFramesAndFillsUp) {
  FrameList list;
  for (uint32_t size = 1; size <= 100; ++size) {
    list.Resize(size, -1);
    ASSERT_EQ(list.size(), size);
    EXPECT_EQ(list[size - 1], -1);
    list.Mutable()[size - 1] = static_cast<int32_t>(size);
  }
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(list[i], static_cast<int32_t>(i) + 1);
}

TEST(FrameList, ThatChangesLeavesOtherHoldersWhatTheyHave) {
  FrameList list;
  list.Resize(20, 7);
  const FrameList set = list;
  list.Mutable()[3] = 8;
  const FrameList cut = list;
  list.Resize(2, 0);
  const FrameList grown = list;
  list.Resize(4, 9);
  EXPECT_EQ(set.size(), 20u);
  EXPECT_EQ(set[3], 7);
  EXPECT_EQ(cut.size(), 20u);
  EXPECT_EQ(cut[3], 8);
  EXPECT_EQ(grown.size(), 2u);
  EXPECT_EQ(list.size(), 4u);
  EXPECT_EQ(list[1], 7);
  EXPECT_EQ(list[3], 9);
}

TEST(FrameList, MayBeCutToNothingAndGrowAgain) {
  FrameList list;
  list.Resize(3, 1);
  list.Resize(0, 0);
  EXPECT_EQ(list.size(), 0u);
  list.Resize(1, 5);
  EXPECT_EQ(list[0], 5);
}

TEST(FrameList, ThatIsMovedFromMayBeAssigned) {
  FrameList list;
  list.Resize(1, 5);
  FrameList other = std::move(list);
  list = other;
  other.Mutable()[0] = 6;
  EXPECT_EQ(list[0], 5);
  EXPECT_EQ(other[0], 6);
}

}  // namespace
}  // namespace kvpager::engine
