// Proves which steps send no message, what the lanes say of them, and that the daemon hears what
// they appended before anything that depends on it.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {
namespace {

class MessageFree : public EngineFixture {
 protected:
  void SetUp() override { Attach({.pinned_steps = 0}); }

  size_t Seen(MessageType type) {
    Barrier();
    const std::vector<SeenRequest> seen = daemon_.seen();
    return static_cast<size_t>(std::count_if(
        seen.begin(), seen.end(), [type](const SeenRequest& r) { return r.type == type; }));
  }

  // Runs `step` and returns how many steps the daemon was asked for.
  template <typename Run>
  size_t Asked(Run run) {
    const size_t before = Seen(MessageType::kStepBegin);
    run();
    return Seen(MessageType::kStepBegin) - before;
  }

  void Read(kvp_seq seq) {
    kvp_step* step = Begin({Entry(seq, 0)});
    ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
    View(step, 0);
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  }

  // Two full blocks and two rows of a third.
  kvp_seq Ten(uint32_t seed = 1) {
    const kvp_seq seq = OpenSequence();
    Append(seq, 10, seed);
    return seq;
  }
};

TEST_F(MessageFree, AStepOnResidentPagesSendsNothing) {
  const kvp_seq seq = Ten();
  EXPECT_EQ(Asked([&] { ExpectRows(seq, Origins(10, 1)); }), 0u);
}

TEST_F(MessageFree, LanesSayWhatHasBegunAndWhatHasEnded) {
  const kvp_seq seq = Ten();
  Read(seq);
  const auto [begun, done] = daemon_.lane(0);
  EXPECT_EQ(begun, done);
  kvp_step* first = Begin({Entry(seq, 0)});
  kvp_step* second = Begin({Entry(seq, 0)});
  EXPECT_EQ(daemon_.lane(0), std::make_pair(begun + 2, done));
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_KEEP), KVP_OK) << Error();
  EXPECT_EQ(daemon_.lane(0), std::make_pair(begun + 2, done + 1));
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(daemon_.lane(0), std::make_pair(begun + 2, done + 2));
}

TEST_F(MessageFree, APageThatIsNotThereMakesItAPinnedStep) {
  const kvp_seq seq = Ten();
  daemon_.WithdrawWord(seq, 1, 0);
  EXPECT_EQ(Asked([&] {
              kvp_step* step = Begin({Entry(seq, 0)});
              ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
              EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
            }),
            1u);
  EXPECT_GE(daemon_.lane(0).second, daemon_.lane(0).first);  // The miss has left its epoch.
}

TEST_F(MessageFree, AFrameThatHbmDoesNotHaveIsNeverListed) {
  const kvp_seq seq = Ten();
  daemon_.MisplaceWord(seq, 1, 0);
  kvp_step* step = nullptr;
  EXPECT_EQ(Asked([&] { step = Begin({Entry(seq, 0)}); }), 1u);
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  kvp_view view{};
  view.struct_size = sizeof(view);
  EXPECT_EQ(kvp_step_view(step, 0, KVP_TIER_HBM, &view), KVP_UNAVAILABLE);
  EXPECT_THAT(Error(), testing::HasSubstr("a frame that HBM does not have"));
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK);
}

TEST_F(MessageFree, AWithdrawalAfterAViewWasBuiltIsSeenByTheNextStep) {
  const kvp_seq seq = Ten();
  EXPECT_EQ(Asked([&] { Read(seq); }), 0u);
  daemon_.WithdrawWord(seq, 0, 0);
  EXPECT_EQ(Asked([&] {
              kvp_step* step = Begin({Entry(seq, 0)});
              ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
              EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
            }),
            1u);
}

TEST_F(MessageFree, RowsThatFitBehindTheLastAreAppendedWithoutAMessage) {
  const kvp_seq seq = Ten();
  EXPECT_EQ(Asked([&] { Append(seq, 1, 1); }), 0u);
  EXPECT_EQ(Length(seq), 11u);
  EXPECT_EQ(daemon_.length_tokens(seq), 10u);
  EXPECT_EQ(Asked([&] { Append(seq, 1, 1); }), 0u);
  EXPECT_EQ(Seen(MessageType::kAppended), 1u);  // The block is full: it may be sealed.
  EXPECT_EQ(daemon_.written_tokens(seq), 12u);
  EXPECT_EQ(Asked([&] { Append(seq, 1, 1); }), 1u);  // Needs a block.
  EXPECT_EQ(daemon_.length_tokens(seq), 13u);
  EXPECT_EQ(Seen(MessageType::kAppended), 1u);
  ExpectRows(seq, Origins(13, 1));
}

TEST_F(MessageFree, TheSameBatchAgainListsTheSamePagesAndTheNewTokens) {
  const kvp_seq seq = OpenSequence();
  Append(seq, 9, 1);
  const kvp_seq other = OpenSequence();
  Append(other, 5, 2);
  EXPECT_EQ(Asked([&] {
              for (int32_t i = 1; i <= 3; ++i) {
                kvp_step* step = Begin({Entry(seq, 1), Entry(other, 1)});
                ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
                for (int look = 0; look < 2; ++look) {
                  const ViewCopy view = View(step, 0);
                  EXPECT_EQ(view.indptr[1], 3);
                  EXPECT_EQ(view.indptr[2], 5);
                  EXPECT_EQ(view.last_page_len[0], 1 + i);
                  EXPECT_EQ(view.last_page_len[1], 1 + i);
                }
                EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
                EXPECT_EQ(daemon_.lane(0).first, daemon_.lane(0).second);
              }
            }),
            0u);
  EXPECT_EQ(Length(seq), 12u);
  EXPECT_EQ(Length(other), 8u);
  EXPECT_EQ(Asked([&] { Append(other, 1, 2); }), 1u);  // A full page: not the same again.
}

// No message comes in between: what has changed is in the page table alone.
TEST_F(MessageFree, TheSameBatchAgainSeesAWithdrawal) {
  const kvp_seq seq = Ten();
  EXPECT_EQ(Asked([&] {
              Read(seq);
              Read(seq);
              daemon_.WithdrawWord(seq, 1, 0);
              kvp_step* step = Begin({Entry(seq, 0)});
              ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
              EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
            }),
            1u);
  EXPECT_GE(daemon_.lane(0).second, daemon_.lane(0).first);
}

TEST_F(MessageFree, TheSameBatchAgainSeesThatAnotherBatchHasFilledThePage) {
  const kvp_seq seq = OpenSequence();
  Append(seq, 8, 1);
  Append(seq, 1, 1);
  const kvp_seq other = Ten(2);
  const auto with_other = [&] {
    kvp_step* step = Begin({Entry(seq, 1), Entry(other, 0)});
    ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  };
  EXPECT_EQ(Asked([&] {
              Append(seq, 1, 1);
              with_other();
              with_other();
              EXPECT_EQ(Length(seq), 12u);
              Append(seq, 1, 1);  // It would have fitted behind the first.
            }),
            1u);
  EXPECT_EQ(Length(seq), 13u);
}

TEST_F(MessageFree, TheSameBatchAgainAfterATruncateIsReadAnew) {
  const kvp_seq seq = Ten();
  Read(seq);
  Read(seq);
  ASSERT_EQ(kvp_seq_truncate(client_, seq, 6), KVP_OK) << Error();
  kvp_step* step = Begin({Entry(seq, 0)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  const ViewCopy view = View(step, 0);
  EXPECT_EQ(view.indptr[1], 2);
  EXPECT_EQ(view.last_page_len[0], 2);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
}

TEST_F(MessageFree, StepsOnTopOfADiscardedOneAreDroppedAndNotRepeated) {
  const kvp_seq seq = OpenSequence();
  Append(seq, 9, 1);
  kvp_step* first = Begin({Entry(seq, 1)});
  kvp_step* second = Begin({Entry(seq, 1)});
  EXPECT_EQ(Length(seq), 11u);
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_KEEP), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 9u);
  for (uint64_t tokens = 10; tokens <= 14; ++tokens) {
    Append(seq, 1, 1);
    EXPECT_EQ(Length(seq), tokens);
  }
  ExpectRows(seq, Origins(14, 1));
}

TEST_F(MessageFree, ANameGivenDuringARepeatedStepIsSentWhenItEnds) {
  const kvp_seq seq = OpenSequence();
  Append(seq, 6, 1);
  Append(seq, 1, 1);
  kvp_step* step = Begin({Entry(seq, 1)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  const std::vector<kvp_block_key> keys = Keys(1, 2);
  ASSERT_EQ(kvp_seq_name(client_, seq, 0, keys.data(), 2, 0, 0), KVP_OK) << Error();
  Barrier();
  EXPECT_LT(daemon_.names_count(), 2u);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  Barrier();
  EXPECT_EQ(daemon_.names_count(), 2u);
}

TEST_F(MessageFree, WhatIsNamedOrCutOrForkedWasReportedBefore) {
  const kvp_seq seq = Ten();
  Append(seq, 2, 1);
  const std::vector<kvp_block_key> keys = Keys(1, 3);
  ASSERT_EQ(kvp_seq_name(client_, seq, 0, keys.data(), 3, 0, 0), KVP_OK) << Error();
  Barrier();
  EXPECT_EQ(daemon_.length_tokens(seq), 12u);
  EXPECT_EQ(daemon_.names_count(), 3u);

  const kvp_seq other = Ten(2);
  Append(other, 1, 2);
  kvp_seq child = 0;
  ASSERT_EQ(kvp_seq_fork(client_, other, &child), KVP_OK) << Error();
  EXPECT_EQ(Length(child), 11u);
  ExpectRows(child, Origins(11, 2));
  ASSERT_EQ(kvp_seq_truncate(client_, other, 9), KVP_OK) << Error();
  Barrier();
  EXPECT_EQ(daemon_.length_tokens(other), 9u);
}

TEST_F(MessageFree, ATailThatIsSharedIsNotWrittenWithoutAMessage) {
  const kvp_seq seq = Ten();
  kvp_seq child = 0;
  ASSERT_EQ(kvp_seq_fork(client_, seq, &child), KVP_OK) << Error();
  EXPECT_EQ(Asked([&] { Append(child, 1, 1); }), 1u);
  EXPECT_EQ(Asked([&] { Append(seq, 1, 1); }), 1u);
  EXPECT_EQ(Asked([&] { Append(seq, 1, 1); }), 0u);  // It is its own now.
  ExpectRows(child, Origins(11, 1));
  ExpectRows(seq, Origins(12, 1));
}

TEST_F(MessageFree, AfterATruncateTheTailMayBeSealed) {
  const kvp_seq seq = Ten();
  ASSERT_EQ(kvp_seq_truncate(client_, seq, 6), KVP_OK) << Error();
  EXPECT_EQ(Asked([&] { Append(seq, 1, 1); }), 1u);
  ExpectRows(seq, Origins(7, 1));
}

// The daemon seals the block when the step ends, and cuts into it after that: what is behind is not
// ours to write.
TEST_F(MessageFree, ATruncateOrForkDuringTheStepTakesTheTailAway) {
  for (const bool fork : {false, true}) {
    const kvp_seq seq = Ten();
    kvp_step* step = Begin({Entry(seq, 2)});  // Pinned or not: the tail is full behind it.
    ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
    step = Begin({Entry(seq, 3)});
    ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
    kvp_seq child = 0;
    if (fork) {
      ASSERT_EQ(kvp_seq_fork(client_, seq, &child), KVP_OK) << Error();
    } else {
      ASSERT_EQ(kvp_seq_truncate(client_, seq, 14), KVP_OK) << Error();
    }
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
    EXPECT_EQ(Asked([&] {
                kvp_step* next = Begin({Entry(seq, 1)});
                ASSERT_EQ(kvp_step_wait(next, kLongUs), KVP_OK) << Error();
                EXPECT_EQ(kvp_step_end(next, KVP_STEP_KEEP), KVP_OK) << Error();
              }),
              1u);
  }
}

TEST_F(MessageFree, AStepBehindOneThatWaitsIsPinned) {
  const kvp_seq seq = Ten();
  const kvp_seq other = Ten(2);
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* waiting = Begin({Entry(other, 4)});
  kvp_step* behind = Begin({Entry(seq, 0)});
  EXPECT_EQ(kvp_step_wait(behind, 1000), KVP_DEADLINE_EXCEEDED);
  daemon_.Release();
  for (kvp_step* step : {waiting, behind}) {
    EXPECT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  }
}

TEST_F(MessageFree, ADiscardedStepLeavesNothingToReport) {
  const kvp_seq seq = Ten();
  kvp_step* step = Begin({Entry(seq, 2)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 12u);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 10u);
  EXPECT_EQ(Asked([&] { Append(seq, 2, 1); }), 0u);
  Append(seq, 1, 1);
  EXPECT_EQ(daemon_.length_tokens(seq), 13u);
  EXPECT_EQ(Seen(MessageType::kTruncate), 0u);
  ExpectRows(seq, Origins(13, 1));
}

// ---- Credits

TEST_F(MessageFree, WithACreditASequenceGrowsWithoutAskingAndIsReportedOnce) {
  const kvp_seq seq = Ten();
  daemon_.GrantCredit(seq);
  EXPECT_EQ(Asked([&] {
              Append(seq, 3, 1);  // Fills the third block, and begins a fourth.
              ExpectRows(seq, Origins(13, 1));
            }),
            0u);
  EXPECT_EQ(Seen(MessageType::kAppended), 1u);
  EXPECT_EQ(daemon_.length_tokens(seq), 13u);
  EXPECT_EQ(daemon_.written_tokens(seq), 13u);
  EXPECT_EQ(Asked([&] { Append(seq, 3, 1); }), 0u);  // The new block is its own, too.
  EXPECT_EQ(Seen(MessageType::kAppended), 2u);
  EXPECT_EQ(Asked([&] { Append(seq, 1, 1); }), 1u);  // No credit.
  ExpectRows(seq, Origins(17, 1));
}

TEST_F(MessageFree, ACreditAfterAnotherGrowsItFurther) {
  const kvp_seq seq = Ten();
  for (uint64_t tokens = 11; tokens <= 26; ++tokens) {
    if (tokens % 4 == 1) daemon_.GrantCredit(seq);
    EXPECT_EQ(Asked([&] { Append(seq, 1, 1); }), 0u) << tokens;
    Barrier();
  }
  ExpectRows(seq, Origins(26, 1));
}

TEST_F(MessageFree, WhatNeedsMoreThanOneCreditAsks) {
  const kvp_seq seq = Ten();
  daemon_.GrantCredit(seq);
  EXPECT_EQ(Asked([&] { Append(seq, 7, 1); }), 1u);
  EXPECT_EQ(Asked([&] { Append(seq, 7, 1); }), 0u);  // The credit was not touched.
  ExpectRows(seq, Origins(24, 1));
}

TEST_F(MessageFree, ARevokedCreditIsNotTakenAndATakenOneNotRevoked) {
  const kvp_seq seq = Ten();
  daemon_.GrantCredit(seq);
  EXPECT_TRUE(daemon_.RevokeCredit(seq));
  EXPECT_EQ(Asked([&] { Append(seq, 3, 1); }), 1u);
  daemon_.GrantCredit(seq);
  kvp_step* step = Begin({Entry(seq, 4)});
  EXPECT_FALSE(daemon_.RevokeCredit(seq));
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  Barrier();
  EXPECT_EQ(daemon_.length_tokens(seq), 17u);
}

TEST_F(MessageFree, ACreditOfAnEarlierSequenceInTheSlotIsNotTaken) {
  const kvp_seq seq = Ten();
  daemon_.GrantCredit(seq);
  daemon_.AgeCredit(seq);
  EXPECT_EQ(Asked([&] { Append(seq, 3, 1); }), 1u);
}

TEST_F(MessageFree, ADiscardedStepGivesItsCreditBack) {
  const kvp_seq seq = Ten();
  daemon_.GrantCredit(seq);
  kvp_step* first = Begin({Entry(seq, 3)});
  kvp_step* second = Begin({Entry(seq, 1)});
  EXPECT_EQ(Length(seq), 14u);
  EXPECT_FALSE(daemon_.RevokeCredit(seq));
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 10u);
  EXPECT_EQ(Asked([&] { Append(seq, 3, 1); }), 0u);
  ExpectRows(seq, Origins(13, 1));
}

TEST_F(MessageFree, AMissGivesAllCreditsOfTheStepBack) {
  const kvp_seq seq = Ten();
  const kvp_seq other = Ten(2);
  daemon_.GrantCredit(seq);
  daemon_.GrantCredit(other);
  daemon_.WithdrawCredit(other);
  EXPECT_EQ(Asked([&] {
              kvp_step* step = Begin({Entry(seq, 3), Entry(other, 3)});
              ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
              EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
            }),
            1u);
  EXPECT_TRUE(daemon_.RevokeCredit(seq));
  EXPECT_TRUE(daemon_.RevokeCredit(other));
}

// The first step's rows are there, the second's are not.
TEST_F(MessageFree, WhatARunningStepWritesIsNotReportedAsWritten) {
  const kvp_seq seq = Ten();
  daemon_.GrantCredit(seq);
  kvp_step* first = Begin({Entry(seq, 3)});
  kvp_step* second = Begin({Entry(seq, 1)});
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_KEEP), KVP_OK) << Error();
  Barrier();
  EXPECT_EQ(daemon_.length_tokens(seq), 14u);
  EXPECT_EQ(daemon_.written_tokens(seq), 13u);
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_KEEP), KVP_OK) << Error();
}

TEST_F(MessageFree, ALossTakesTheTakenCreditWithIt) {
  const kvp_seq seq = Ten();
  daemon_.GrantCredit(seq);
  kvp_step* step = Begin({Entry(seq, 3)});
  daemon_.LoseTokens(seq, 8);
  Barrier();
  EXPECT_EQ(Length(seq), 8u);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(kvp_seq_suspend(client_, seq), KVP_DATA_LOSS);  // Says so, and does nothing.
  EXPECT_EQ(Asked([&] { Append(seq, 6, 3); }), 1u);
  EXPECT_EQ(Length(seq), 14u);
}

TEST_F(MessageFree, DraftsAndSplitStepsAskTheDaemon) {
  const kvp_seq seq = Ten();
  kvp_step_entry draft = Entry(seq, 1);
  draft.draft = 1;
  EXPECT_EQ(Asked([&] {
              kvp_step* step = Begin({draft});
              ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
              EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK) << Error();
            }),
            1u);
  EXPECT_EQ(Asked([&] {
              kvp_step* step = Begin({Entry(seq, 0)}, 0, KVP_SPLIT);
              ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
              EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
            }),
            1u);
}

}  // namespace
}  // namespace kvpager::engine
