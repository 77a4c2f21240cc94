#include "engine_plugin/sequence_table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace kvpager::engine {
namespace {

constexpr uint64_t kForks = uint64_t{1} << 63;

Sequence* Add(SequenceTable& table, uint64_t handle) {
  auto made = std::make_unique<Sequence>(handle, 16);
  Sequence* const sequence = made.get();
  table.Add(std::move(made));
  return sequence;
}

TEST(SequenceTable, FindsWhatWasAddedAndNothingElse) {
  SequenceTable table;
  Sequence* const one = Add(table, 1);
  EXPECT_EQ(table.Find(1), one);
  EXPECT_EQ(table.Find(0), nullptr);
  EXPECT_EQ(table.Find(2), nullptr);
  EXPECT_EQ(table.Find(kForks | 1), nullptr);
}

TEST(SequenceTable, FindsSequencesWhoseHandlesEndAlike) {
  SequenceTable table;
  std::vector<Sequence*> sequences;
  for (uint64_t i = 1; i <= 40; ++i) sequences.push_back(Add(table, i << 32 | 5));
  for (int round = 0; round < 2; ++round) {
    for (uint64_t i = 1; i <= 40; ++i) EXPECT_EQ(table.Find(i << 32 | 5), sequences[i - 1]);
  }
}

TEST(SequenceTable, FindsAllWhileItGrows) {
  SequenceTable table;
  std::vector<Sequence*> sequences;
  for (uint64_t i = 1; i <= 2000; ++i) {
    sequences.push_back(Add(table, i % 2 == 0 ? i : kForks | i));
    EXPECT_EQ(table.Find(kForks | 1), sequences.front());
  }
  for (uint64_t i = 1; i <= 2000; ++i) {
    EXPECT_EQ(table.Find(i % 2 == 0 ? i : kForks | i), sequences[i - 1]);
  }
}

TEST(SequenceTable, ForgetsWhatWasErasedAndKeepsWhatEndsAlike) {
  SequenceTable table;
  Add(table, 5);
  Sequence* const other = Add(table, kForks | 5);
  table.Erase(5);
  EXPECT_EQ(table.Find(5), nullptr);
  EXPECT_EQ(table.Find(kForks | 5), other);
  Sequence* const again = Add(table, 5);
  EXPECT_EQ(table.Find(5), again);
  table.Erase(kForks | 5);
  EXPECT_EQ(table.Find(kForks | 5), nullptr);
  uint64_t handles = 0;
  table.ForEach([&handles](const Sequence& sequence) { handles += sequence.handle(); });
  EXPECT_EQ(handles, 5u);
}

}  // namespace
}  // namespace kvpager::engine
