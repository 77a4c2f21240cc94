// Steps and their views, as an engine meets them: lengths, lists, ranges, overlap, discard. Every
// test writes rows through one view and reads them back through others.

#include "engine_plugin/kvpager.hpp"
#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class StepsTest : public EngineFixture {};

TEST_F(StepsTest, WhatOneStepWritesTheNextOneReads) {
  for (const uint32_t layout : {KVP_LAYOUT_NHD, KVP_LAYOUT_HND}) {
    FakeDaemon daemon;
    const EngineSetup setup{.layout = layout};
    const OpenArguments arguments(daemon.socket_path(), setup);
    setup_ = setup;
    ASSERT_EQ(kvp_client_open(&arguments.options, &client_), KVP_OK) << kvp_last_error();
    pool_.struct_size = sizeof(pool_);
    ASSERT_EQ(kvp_client_pool_info(client_, &pool_), KVP_OK);
    const kvp_seq seq = OpenSequence();
    Append(seq, 6, 1);
    for (int i = 0; i < 5; ++i) Append(seq, 1, 1);
    ExpectRows(seq, Origins(11, 1));
    Detach();
  }
}

TEST_F(StepsTest, AViewIsABatchInFlashInfersForm) {
  Attach();
  const kvp_seq a = OpenSequence();
  const kvp_seq b = OpenSequence();
  const kvp_seq empty = OpenSequence();
  Append(a, 9, 1);
  Append(b, 4, 2);
  kvp_step* step = Begin({Entry(a, 1), Entry(empty, 0), Entry(b, 1)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  const ViewCopy view = View(step, 0);
  EXPECT_THAT(view.indptr, ElementsAre(0, 3, 3, 5));
  EXPECT_THAT(view.last_page_len, ElementsAre(2, 0, 1));
  EXPECT_THAT(view.positions, ElementsAre(0, 1, 2, 0, 1));
  for (const int32_t frame : view.indices) {
    EXPECT_GE(frame, 0);
    EXPECT_LT(frame, static_cast<int32_t>(pool_.frames_hbm));
  }
  const ViewCopy host = View(step, 0, KVP_TIER_HOST);
  EXPECT_THAT(host.indptr, ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK);
}

TEST_F(StepsTest, GroupsHaveViewsOfTheirOwn) {
  Attach({.layers_per_page = 1});
  EXPECT_EQ(pool_.num_groups, 2u);
  const kvp_seq seq = OpenSequence();
  Append(seq, 7, 3);
  ExpectRows(seq, Origins(7, 3));
  kvp_step* step = Begin({Entry(seq, 0)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  EXPECT_NE(View(step, 0).indices, View(step, 1).indices);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);
}

TEST_F(StepsTest, ARangeListsOnlyItsPagesAndThoseAppendedTo) {
  Attach({.layers_per_page = 1});
  const kvp_seq seq = OpenSequence();
  Append(seq, 18, 1);
  kvp_step* step = Begin({{seq, 3, 0, 1, 1, 1, 2}});  // Group 1, blocks 1 and 2.
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  EXPECT_THAT(View(step, 1).positions, ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(View(step, 1).last_page_len, ElementsAre(1));
  EXPECT_THAT(View(step, 0).positions, ElementsAre(4, 5));
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);

  step = Begin({{seq, 0, 0, 0, KVP_ALL, 1, 2}});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  EXPECT_THAT(View(step, 0).positions, ElementsAre(1, 2));
  EXPECT_THAT(View(step, 0).last_page_len, ElementsAre(4));  // Not the sequence's last page.
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);

  step = Begin({{seq, 0, 0, 0, KVP_ALL, 9, 2}});  // Behind the end.
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  EXPECT_THAT(View(step, 0).positions, IsEmpty());
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);
}

TEST_F(StepsTest, OverlappingStepsEachSeeTheLengthOfTheirBegin) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 3, 1);
  kvp_step* first = Begin({Entry(seq, 1)});
  kvp_step* second = Begin({Entry(seq, 2)});
  kvp_step* third = Begin({Entry(seq, 0)});
  EXPECT_EQ(Length(seq), 6u);
  ASSERT_EQ(kvp_step_wait(third, kLongUs), KVP_OK) << Error();
  EXPECT_THAT(View(first, 0).last_page_len, ElementsAre(4));
  EXPECT_THAT(View(first, 0).positions, ElementsAre(0));
  EXPECT_THAT(View(second, 0).last_page_len, ElementsAre(2));
  EXPECT_THAT(View(second, 0).positions, ElementsAre(0, 1));
  EXPECT_THAT(View(third, 0).last_page_len, ElementsAre(2));
  Write(first, 3, 4, 1);
  Write(second, 4, 6, 1);
  for (kvp_step* step : {first, second, third}) {
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  }
  ExpectRows(seq, Origins(6, 1));
}

TEST_F(StepsTest, StepsOfOneLaneEndInOrder) {
  Attach();
  const kvp_seq seq = OpenSequence();
  kvp_step* first = Begin({Entry(seq, 4)});
  kvp_step* second = Begin({Entry(seq, 4)});
  ASSERT_EQ(kvp_step_wait(second, kLongUs), KVP_OK) << Error();
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_KEEP), KVP_FAILED_PRECONDITION);
  EXPECT_THAT(Error(), HasSubstr("before an older step of its lane"));
  Write(first, 0, 4, 1);
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_KEEP), KVP_OK) << Error();
  Barrier();
  EXPECT_EQ(daemon_.steps_open(), 0u);  // The second one went with its turn, discarded.
  ExpectRows(seq, Origins(4, 1));
}

TEST_F(StepsTest, LanesAreIndependent) {
  Attach();
  const kvp_seq a = OpenSequence();
  const kvp_seq b = OpenSequence();
  kvp_step* first = Begin({Entry(a, 1)}, 0);
  kvp_step* second = Begin({Entry(b, 1)}, 7);
  const kvp_step_options options = {sizeof(kvp_step_options), 3, KVP_RESIDENT};
  const kvp_step_entry entry = Entry(a, 1);
  kvp_step* third = nullptr;
  EXPECT_EQ(kvp_step_begin(client_, &options, &entry, 1, &third), KVP_FAILED_PRECONDITION);
  EXPECT_THAT(Error(), HasSubstr("lane 0"));
  ASSERT_EQ(kvp_step_wait(second, kLongUs), KVP_OK);
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_KEEP), KVP_OK) << Error();
  ASSERT_EQ(kvp_step_wait(first, kLongUs), KVP_OK);
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_KEEP), KVP_OK) << Error();
}

TEST_F(StepsTest, DiscardForgetsTheStepsTokensAndThoseOfLaterOnes) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 5, 1);
  kvp_step* first = Begin({Entry(seq, 2)});
  kvp_step* second = Begin({Entry(seq, 3)});
  ASSERT_EQ(kvp_step_wait(second, kLongUs), KVP_OK) << Error();
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 5u);
  EXPECT_THAT(View(second, 0).last_page_len, ElementsAre(2));  // It still runs.
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_KEEP), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 5u);
  Append(seq, 2, 1);
  ExpectRows(seq, Origins(7, 1));
  EXPECT_EQ(daemon_.length_tokens(seq), 7u);
}

TEST_F(StepsTest, AStepThatIsNotReadyIsCancelledByDiscard) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 2, 1);
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* step = Begin({Entry(seq, 4)});
  EXPECT_EQ(kvp_step_wait(step, 0), KVP_DEADLINE_EXCEEDED);
  EXPECT_EQ(kvp_step_wait(step, 1000), KVP_DEADLINE_EXCEEDED);
  kvp_view view{};
  view.struct_size = sizeof(view);
  EXPECT_EQ(kvp_step_view(step, 0, KVP_TIER_HBM, &view), KVP_FAILED_PRECONDITION);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 2u);
  daemon_.Release();
  Append(seq, 1, 1);
  ExpectRows(seq, Origins(3, 1));
}

TEST_F(StepsTest, AStepThatBecameReadyBeforeTheCancelIsDiscardedAllTheSame) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 2, 1);
  kvp_step* step = Begin({Entry(seq, 4)});  // Answered at once, but nobody waits for it.
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 2u);
  Barrier();
  EXPECT_EQ(daemon_.length_tokens(seq), 2u);
  EXPECT_EQ(daemon_.steps_open(), 0u);
  step = Begin({Entry(seq, 4)});
  const kvp_status kept = kvp_step_end(step, KVP_STEP_KEEP);  // Ready or not: that is a race.
  EXPECT_EQ(Length(seq), kept == KVP_OK ? 6u : 2u);
  EXPECT_THAT(kept, testing::AnyOf(KVP_OK, KVP_FAILED_PRECONDITION));
}

TEST_F(StepsTest, AnswersToOtherRequestsMayOvertakeAStep) {
  Attach();
  const kvp_seq seq = OpenSequence();
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* step = Begin({Entry(seq, 4)});
  const kvp_seq other = OpenSequence();
  EXPECT_NE(other, seq);
  EXPECT_EQ(kvp_seq_close(client_, other), KVP_OK);
  EXPECT_EQ(kvp_step_wait(step, 0), KVP_DEADLINE_EXCEEDED);
  daemon_.Release();
  EXPECT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  kvp_step_times times{};
  times.struct_size = sizeof(times);
  EXPECT_EQ(kvp_step_get_times(step, &times), KVP_OK);
  EXPECT_EQ(times.queue_ns, 1u);
  EXPECT_EQ(times.promoted_nvme_pages, 6u);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);
}

TEST_F(StepsTest, ASplitStepListsEachPageInExactlyOneTier) {
  Attach({.layers_per_page = 1});
  const kvp_seq seq = OpenSequence();
  Append(seq, 14, 5);
  daemon_.MoveToHost(seq, {0, 2});
  kvp_step* step = Begin({Entry(seq, 0)}, 0, KVP_SPLIT);
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  for (uint32_t group = 0; group < 2; ++group) {
    const ViewCopy device = View(step, group, KVP_TIER_HBM);
    const ViewCopy host = View(step, group, KVP_TIER_HOST);
    EXPECT_THAT(device.positions, ElementsAre(1, 3));
    EXPECT_THAT(device.last_page_len, ElementsAre(2));
    EXPECT_THAT(host.positions, ElementsAre(0, 2));
    EXPECT_THAT(host.last_page_len, ElementsAre(4));
    ExpectRowsIn(device, group, KVP_TIER_HBM, 5, 14);
    ExpectRowsIn(host, group, KVP_TIER_HOST, 5, 14);
  }
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);
}

TEST_F(StepsTest, ASplitStepIsNotKeptIfAPageThatWasInBothTiersLeftHbmMeanwhile) {
  Attach({.layers_per_page = 1});
  const kvp_seq seq = OpenSequence();
  Append(seq, 14, 5);
  for (const bool leaves : {false, true}) {
    daemon_.CopyToHost(seq, {1});
    kvp_step* step = Begin({Entry(seq, 2)}, 0, KVP_SPLIT);
    ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
    for (uint32_t group = 0; group < 2; ++group) {
      EXPECT_THAT(View(step, group, KVP_TIER_HBM).positions, ElementsAre(0, 1, 2, 3));
    }
    Write(step, 14, 16, 5);
    if (leaves) daemon_.MoveToHost(seq, {1});
    EXPECT_THAT(View(step, 0, KVP_TIER_HBM).positions, ElementsAre(0, 1, 2, 3));  // As it was.
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), leaves ? KVP_ABORTED : KVP_OK);
    EXPECT_EQ(Length(seq), leaves ? 14u : 16u);
    EXPECT_THAT(Error(), HasSubstr(leaves ? "left HBM" : ""));
    ASSERT_EQ(kvp_seq_truncate(client_, seq, 14), KVP_OK);
  }
}

TEST_F(StepsTest, TheCppWrapperEndsAndClosesWhatGoesOutOfScope) {
  kvp::Client client;
  const OpenArguments arguments(daemon_.socket_path());
  ASSERT_EQ(client.open(arguments.options), KVP_OK) << client.error();
  {
    kvp::Sequence sequence;
    ASSERT_EQ(sequence.open(client, {}), KVP_OK) << client.error();
    kvp::Step kept;
    ASSERT_EQ(kept.begin(client, {kvp::entry(sequence, 5)}), KVP_OK) << client.error();
    ASSERT_EQ(kept.wait(kLongUs), KVP_OK) << client.error();
    ASSERT_EQ(kept.end(KVP_STEP_KEEP), KVP_OK) << client.error();
    {
      kvp::Step dropped;
      ASSERT_EQ(dropped.begin(client, {kvp::entry(sequence, 5)}), KVP_OK);
      kvp::Step moved = std::move(dropped);
      EXPECT_FALSE(dropped.is_open());
    }
    uint64_t tokens = 0;
    ASSERT_EQ(sequence.length(&tokens), KVP_OK);
    EXPECT_EQ(tokens, 5u);
    kvp::Sequence child;
    ASSERT_EQ(child.fork(sequence), KVP_OK) << client.error();
  }
  kvp::Sequence barrier;
  ASSERT_EQ(barrier.open(client, {}), KVP_OK);
  EXPECT_EQ(daemon_.sequences_open(), 1u);
  EXPECT_EQ(daemon_.steps_open(), 0u);
}

}  // namespace
}  // namespace kvpager::engine
