// The same batch again and again, without a message: what a repeat has changed waits until somebody
// asks, and nobody may see the difference.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {
namespace {

class Again : public EngineFixture {
 protected:
  void SetUp() override { Attach({.pinned_steps = 0}); }

  size_t Asked() {
    Barrier();
    size_t asked = 0;
    for (const SeenRequest& request : daemon_.seen()) {
      asked += request.type == MessageType::kStepBegin ? 1 : 0;
    }
    return asked;
  }

  // Of one token in its last page of four, so that two more can be appended again and again.
  kvp_seq Five(uint32_t seed) {
    const kvp_seq seq = OpenSequence();
    Append(seq, 5, seed);
    return seq;
  }

  kvp_step* BeginReady(const std::vector<kvp_step_entry>& entries, uint32_t lane = 0) {
    kvp_step* step = Begin(entries, lane);
    EXPECT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
    return step;
  }

  void End(kvp_step* step, int32_t how = KVP_STEP_KEEP) {
    EXPECT_EQ(kvp_step_end(step, how), KVP_OK) << Error();
  }
};

TEST_F(Again, TheLengthCountsTheTokensOfAnOpenRepeat) {
  const kvp_seq seq = Five(1);
  End(BeginReady({Entry(seq, 1)}));
  kvp_step* step = BeginReady({Entry(seq, 1)});
  EXPECT_EQ(Length(seq), 7u);
  EXPECT_EQ(View(step, 0).last_page_len[0], 3);
  End(step);
  EXPECT_EQ(Length(seq), 7u);
}

TEST_F(Again, ASequenceInAnOpenRepeatIsNotClosed) {
  const kvp_seq seq = Five(1);
  End(BeginReady({Entry(seq, 0)}));
  kvp_step* step = BeginReady({Entry(seq, 0)});
  EXPECT_EQ(kvp_seq_close(client_, seq), KVP_FAILED_PRECONDITION);
  End(step);
  EXPECT_EQ(kvp_seq_close(client_, seq), KVP_OK) << Error();
}

TEST_F(Again, AnotherLaneMayNotTakeASequenceOfAnOpenRepeat) {
  const kvp_seq seq = Five(1);
  End(BeginReady({Entry(seq, 0)}));
  kvp_step* step = BeginReady({Entry(seq, 0)});
  kvp_step_options options = {};
  options.struct_size = sizeof options;
  options.lane = 1;
  const kvp_step_entry entry = Entry(seq, 0);
  kvp_step* other = nullptr;
  EXPECT_EQ(kvp_step_begin(client_, &options, &entry, 1, &other), KVP_FAILED_PRECONDITION);
  End(step);
}

TEST_F(Again, ADiscardedRepeatTakesOnlyItsOwnTokensBack) {
  const kvp_seq seq = OpenSequence();
  Append(seq, 4, 1);
  Append(seq, 1, 1);
  Append(seq, 1, 1);
  kvp_step* step = BeginReady({Entry(seq, 1)});
  Write(step, 6, 7, 2);
  End(step, KVP_STEP_DISCARD);
  EXPECT_EQ(Length(seq), 6u);
  Append(seq, 1, 1);
  ExpectRows(seq, Origins(7, 1));
}

TEST_F(Again, ATruncateDuringARepeatDropsWhatItAppends) {
  const kvp_seq seq = Five(1);
  End(BeginReady({Entry(seq, 1)}));
  kvp_step* step = BeginReady({Entry(seq, 1)});
  ASSERT_EQ(kvp_seq_truncate(client_, seq, 5), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 5u);
  End(step);
  EXPECT_EQ(Length(seq), 5u);
  ExpectRows(seq, Origins(5, 1));
}

TEST_F(Again, AStepOnTopOfAnOpenRepeatStartsWhereThatEnds) {
  const kvp_seq seq = Five(1);
  const kvp_seq other = Five(2);
  const std::vector<kvp_step_entry> both = {Entry(seq, 1), Entry(other, 0)};
  End(BeginReady(both));
  kvp_step* repeat = BeginReady(both);
  kvp_step* behind = Begin({Entry(seq, 1)});
  EXPECT_EQ(Length(seq), 8u);
  EXPECT_EQ(kvp_step_end(behind, KVP_STEP_KEEP), KVP_FAILED_PRECONDITION);  // Not its turn.
  End(repeat);
  EXPECT_EQ(Length(seq), 7u);
}

TEST_F(Again, TwoBatchesInTwoLanesAreRepeatedInTurns) {
  const kvp_seq left = Five(1);
  const kvp_seq right = Five(2);
  const size_t asked = Asked();
  for (int32_t i = 1; i <= 2; ++i) {
    kvp_step* first = BeginReady({Entry(left, 1)}, 0);
    kvp_step* second = BeginReady({Entry(right, 1)}, 1);
    EXPECT_EQ(View(first, 0).last_page_len[0], 1 + i);
    EXPECT_EQ(View(second, 0).last_page_len[0], 1 + i);
    End(second);
    End(first);
  }
  EXPECT_EQ(Asked(), asked);
  EXPECT_EQ(Length(left), 7u);
  EXPECT_EQ(Length(right), 7u);
  EXPECT_EQ(daemon_.lane(0).first, daemon_.lane(0).second);
  EXPECT_EQ(daemon_.lane(1).first, daemon_.lane(1).second);
}

TEST_F(Again, AnotherNumberOfTokensIsAnotherBatch) {
  const kvp_seq seq = OpenSequence();
  Append(seq, 4, 1);
  Append(seq, 1, 1);
  kvp_step* step = BeginReady({Entry(seq, 2)});
  EXPECT_EQ(View(step, 0).last_page_len[0], 3);
  Write(step, 5, 7, 1);
  End(step);
  ExpectRows(seq, Origins(7, 1));
}

TEST_F(Again, AViewThatWasSkippedOnceIsRightTheNextTime) {
  const kvp_seq seq = Five(1);
  kvp_step* step = BeginReady({Entry(seq, 0)});
  EXPECT_EQ(View(step, 0).last_page_len[0], 1);
  End(step);
  for (const int32_t rows : {2, 3}) {
    step = BeginReady({Entry(seq, 1)});
    if (rows == 3) {
      EXPECT_EQ(View(step, 0).last_page_len[0], rows);
    }
    End(step);
  }
  EXPECT_EQ(Length(seq), 7u);
}

TEST_F(Again, MoreBatchesThanAreRememberedKeepTheirTokens) {
  std::vector<kvp_seq> sequences;
  for (uint32_t i = 0; i < 7; ++i) sequences.push_back(Five(i));
  for (const size_t count : {3, 7}) {
    for (size_t i = 0; i < count; ++i) End(BeginReady({Entry(sequences[i], 1)}));
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_EQ(Length(sequences[i]), i < 3 ? 7u : 6u) << "sequence " << i;
  }
}

}  // namespace
}  // namespace kvpager::engine
