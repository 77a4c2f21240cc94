// Submissions: what completes, with what, when the descriptor says so, and what is left of them
// when sequences, steps, the client or the daemon go.

#include "engine_plugin/exchange.h"
#include "tests/engine_plugin/async_fixture.h"

namespace kvpager::engine {
namespace {

using testing::HasSubstr;

class AsyncTest : public AsyncFixture {
 protected:
  // Each prefetch is one request that nobody waits for.
  void FillTheLine(kvp_seq seq) {
    daemon_.Hold(MessageType::kPrefetch);
    for (size_t i = 0; i < kUnansweredMax + 1; ++i) {
      ASSERT_EQ(kvp_seq_prefetch(client_, seq, KVP_TIER_HBM, 0, 0), KVP_OK) << Error();
    }
  }
};

// ---- What each operation brings ----

TEST_F(AsyncTest, AnOpenBringsTheSequenceAndWhatWasReused) {
  AttachAsync();
  const std::vector<kvp_block_key> keys = Keys(1, 9);  // More than two messages' worth.
  const kvp_seq first = OpenSequence();
  Append(first, 36, 1);
  ASSERT_EQ(kvp_seq_name(client_, first, 0, keys.data(), 9, 0, 0), KVP_OK);
  {
    const std::vector<kvp_block_key> mine = keys;  // Copied by the call: gone before any answer.
    daemon_.Hold(MessageType::kExtend);
    Submit({OpenRequest(7, mine)});
  }
  daemon_.Release();
  const Done done = CollectOne();
  EXPECT_EQ(done.completion.status, KVP_OK) << done.error;
  EXPECT_EQ(done.completion.op, uint32_t{KVP_OP_OPEN});
  EXPECT_EQ(done.completion.user_data, 7u);
  EXPECT_EQ(done.completion.reuse_tokens, 36u);
  EXPECT_EQ(done.completion.hit_blocks[KVP_TIER_HBM], 9u);
  EXPECT_EQ(done.error, "");
  ExpectRows(done.completion.seq, Origins(36, 1));
  ExpectQuiet();
}

TEST_F(AsyncTest, AForkOfASequenceThatNoStepWritesBringsTheChild) {
  AttachAsync();
  const kvp_seq parent = OpenSequence();
  Append(parent, 6, 1);
  Submit({Request(KVP_OP_FORK, 1, parent)});
  const Done done = CollectOne();
  ASSERT_EQ(done.completion.status, KVP_OK) << done.error;
  Append(done.completion.seq, 3, 1);
  ExpectRows(done.completion.seq, Origins(9, 1));
  ExpectRows(parent, Origins(6, 1));
}

TEST_F(AsyncTest, AForkBehindAStepCompletesWhenThatStepHasEnded) {
  for (const int32_t keep_or_discard : {KVP_STEP_KEEP, KVP_STEP_DISCARD}) {
    AttachAsync();
    const kvp_seq parent = OpenSequence();
    Append(parent, 6, 1);
    kvp_step* step = Begin({Entry(parent, 3)});
    ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
    Write(step, 6, 9, 1);
    Submit({Request(KVP_OP_FORK, 1, parent)});
    Barrier();
    EXPECT_TRUE(Drain().empty());
    EXPECT_EQ(kvp_step_end(step, keep_or_discard), KVP_OK) << Error();
    const Done done = CollectOne();
    ASSERT_EQ(done.completion.status, KVP_OK) << done.error;
    ExpectRows(done.completion.seq, Origins(keep_or_discard == KVP_STEP_KEEP ? 9 : 6, 1));
    EXPECT_EQ(kvp_seq_close(client_, done.completion.seq), KVP_OK);
    Detach();
    barrier_seq_ = 0;
  }
}

TEST_F(AsyncTest, ResumeEvictAndDurableNameComplete) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  Append(seq, 24, 1);
  ASSERT_EQ(kvp_seq_suspend(client_, seq), KVP_OK);
  const std::vector<kvp_block_key> keys = Keys(3, 6);  // Two messages.
  kvp_request evict = Request(KVP_OP_EVICT, 2, seq);
  evict.tier = KVP_TIER_HOST;
  Submit({Request(KVP_OP_RESUME, 1, seq), evict, NameRequest(3, seq, keys)});
  uint64_t user_data = 0;
  for (const Done& done : Collect(3)) {
    EXPECT_EQ(done.completion.status, KVP_OK) << done.error;
    EXPECT_EQ(done.completion.user_data, ++user_data);  // The fake answers in order.
    EXPECT_EQ(done.completion.seq, 0u);
  }
  EXPECT_EQ(daemon_.names_count(), 6u);
  Append(seq, 1, 1);  // It is resumed.
}

TEST_F(AsyncTest, AWaitForAStepCompletesWhenItIsReady) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* step = Begin({Entry(seq, 5)});
  Submit({WaitRequest(1, step), WaitRequest(2, step)});
  Barrier();
  EXPECT_TRUE(Drain().empty());
  daemon_.Release();
  for (const Done& done : Collect(2)) EXPECT_EQ(done.completion.status, KVP_OK) << done.error;
  Write(step, 0, 5, 1);
  Submit({WaitRequest(3, step)});  // Ready already.
  EXPECT_EQ(CollectOne().completion.user_data, 3u);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  ExpectRows(seq, Origins(5, 1));
}

TEST_F(AsyncTest, AWaitForAStepWithoutAMessageCompletesAtOnce) {
  AttachAsync({.pinned_steps = 0});
  const kvp_seq seq = OpenSequence();
  Append(seq, 5, 1);
  kvp_step* step = Begin({Entry(seq, 1)});
  Submit({WaitRequest(1, step)});
  EXPECT_EQ(CollectOne().completion.status, KVP_OK);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
}

// ---- Failures of one ----

TEST_F(AsyncTest, AStepThatFailsTellsWhoWaitsForItWhatABlockingWaitWouldHaveSaid) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  Append(seq, 8, 1);
  daemon_.LoseInNextStep(4);
  kvp_step* lost = Begin({Entry(seq, 1)});
  Submit({WaitRequest(1, lost)});
  const Done done = CollectOne();
  EXPECT_EQ(done.completion.status, KVP_DATA_LOSS);
  EXPECT_THAT(done.error, HasSubstr("could not be read"));
  EXPECT_EQ(kvp_step_end(lost, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 4u);
}

TEST_F(AsyncTest, EndingAStepCompletesItsWaits) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* first = Begin({Entry(seq, 1)});
  kvp_step* second = Begin({Entry(seq, 1)});
  Submit({WaitRequest(1, first), WaitRequest(2, second)});
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_DISCARD), KVP_FAILED_PRECONDITION);  // Before its turn.
  const Done early = CollectOne();
  EXPECT_EQ(early.completion.user_data, 2u);
  EXPECT_EQ(early.completion.status, KVP_ABORTED);
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_DISCARD), KVP_OK) << Error();
  const Done done = CollectOne();
  EXPECT_EQ(done.completion.user_data, 1u);
  EXPECT_EQ(done.completion.status, KVP_ABORTED);
  EXPECT_THAT(done.error, HasSubstr("ended before"));
  ExpectQuiet();
}

TEST_F(AsyncTest, WrongStateIsTheStatusOfTheCompletion) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  const std::vector<kvp_block_key> keys = Keys(1, 2);
  kvp_step* step = Begin({Entry(seq, 8)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  Submit({Request(KVP_OP_RESUME, 1, 12345), Request(KVP_OP_RESUME, 2, seq),
          NameRequest(3, seq, keys), NameRequest(4, seq, Keys(1, 3)), OpenRequest(5, {})});
  const std::vector<Done> done = Collect(5);
  const std::vector<std::pair<kvp_status, std::string>> expected = {
      {KVP_NOT_FOUND, "no sequence 12345"},
      {KVP_FAILED_PRECONDITION, "resume: the sequence is in a step"},
      {KVP_FAILED_PRECONDITION, "a durable name"},
      {KVP_INVALID_ARGUMENT, "only full blocks"},
      {KVP_OK, ""}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(done[i].completion.user_data, i + 1);
    EXPECT_EQ(done[i].completion.status, expected[i].first);
    EXPECT_THAT(done[i].error, HasSubstr(expected[i].second));
  }
}

TEST_F(AsyncTest, WhatTheDaemonRefusesIsTheStatusOfTheCompletion) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  Append(seq, 24, 1);
  daemon_.FailNext(MessageType::kName, absl::ResourceExhaustedError("the disk is full"));
  Submit({NameRequest(1, seq, Keys(1, 6))});  // Only one of its two messages fails.
  const Done name = CollectOne();
  EXPECT_EQ(name.completion.status, KVP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(name.error, "the disk is full");
  daemon_.FailNext(MessageType::kFork, absl::ResourceExhaustedError("too many sequences"));
  kvp_step* step = Begin({Entry(seq, 1)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  Submit({Request(KVP_OP_FORK, 2, seq)});
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  const Done fork = CollectOne();
  EXPECT_EQ(fork.completion.status, KVP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(fork.completion.seq, 0u);
  EXPECT_EQ(daemon_.sequences_open(), 1u);
}

TEST_F(AsyncTest, AnOpenWhoseRestIsRefusedLeavesNoSequenceBehind) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  Append(seq, 24, 1);
  const std::vector<kvp_block_key> keys = Keys(1, 6);
  ASSERT_EQ(kvp_seq_name(client_, seq, 0, keys.data(), 6, 0, 0), KVP_OK);
  daemon_.FailNext(MessageType::kExtend, absl::ResourceExhaustedError("no room"));
  Submit({OpenRequest(1, keys)});
  EXPECT_EQ(CollectOne().completion.status, KVP_RESOURCE_EXHAUSTED);
  Barrier();
  EXPECT_EQ(daemon_.sequences_open(), 2u);  // The barrier's is one.
}

// ---- A fork that has no id yet ----

TEST_F(AsyncTest, OperationsOnAForkWaitUntilTheDaemonHasMadeIt) {
  AttachAsync();
  const kvp_seq parent = OpenSequence();
  kvp_step* step = Begin({Entry(parent, 5)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  Write(step, 0, 5, 1);
  kvp_seq child = 0;
  ASSERT_EQ(kvp_seq_fork(client_, parent, &child), KVP_OK) << Error();
  Submit({Request(KVP_OP_RESUME, 1, child)});
  EXPECT_EQ(CollectOne().completion.status, KVP_FAILED_PRECONDITION);  // Its step is up to us.
  daemon_.Hold(MessageType::kFork);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  // A younger step of the parent, in a lane whose numbers are no higher, is none that it waits for.
  kvp_step* younger = Begin({Entry(parent, 0)}, 1);
  Submit({Request(KVP_OP_RESUME, 2, child), Request(KVP_OP_FORK, 3, child),
          NameRequest(4, child, Keys(1, 1))});
  EXPECT_TRUE(Drain().empty());
  daemon_.Release();
  const std::vector<Done> done = Collect(3);
  for (const Done& each : done) EXPECT_EQ(each.completion.status, KVP_OK) << each.error;
  ExpectRows(done[1].completion.seq, Origins(5, 1));
  EXPECT_EQ(kvp_step_wait(younger, kLongUs), KVP_OK) << Error();
  EXPECT_EQ(kvp_step_end(younger, KVP_STEP_KEEP), KVP_OK) << Error();
}

TEST_F(AsyncTest, ClosingAForkCompletesWhatWaitedForIt) {
  AttachAsync();
  const kvp_seq parent = OpenSequence();
  kvp_step* step = Begin({Entry(parent, 5)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  kvp_seq child = 0;
  ASSERT_EQ(kvp_seq_fork(client_, parent, &child), KVP_OK) << Error();
  daemon_.Hold(MessageType::kFork);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  Submit({Request(KVP_OP_RESUME, 1, child)});
  EXPECT_EQ(kvp_seq_close(client_, child), KVP_OK) << Error();
  EXPECT_EQ(CollectOne().completion.status, KVP_NOT_FOUND);
  daemon_.Release();
  Barrier();
  while (daemon_.sequences_open() != 2) Length(parent);  // The late child is closed again.
}

// ---- How many ----

TEST_F(AsyncTest, MoreThanTheMostAreRefusedFromThereOn) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* step = Begin({Entry(seq, 1)});
  std::vector<kvp_request> requests;
  for (uint64_t i = 0; i < KVP_SUBMITTED_MAX + 10; ++i) requests.push_back(WaitRequest(i, step));
  size_t accepted = 0;
  EXPECT_EQ(kvp_submit(client_, requests.data(), requests.size(), &accepted),
            KVP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(Error(), HasSubstr("drain, then submit the rest"));
  EXPECT_EQ(accepted, size_t{KVP_SUBMITTED_MAX});
  daemon_.Release();
  const std::vector<Done> done = Collect(KVP_SUBMITTED_MAX);
  for (uint64_t i = 0; i < done.size(); ++i) EXPECT_EQ(done[i].completion.user_data, i);
  Submit({requests.begin() + KVP_SUBMITTED_MAX, requests.end()});
  Collect(10);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
}

TEST_F(AsyncTest, ALineThatIsFullRefusesAndWhatItTookGoesOutWhenThereIsRoom) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  FillTheLine(seq);
  std::vector<kvp_request> requests;
  for (uint64_t i = 0; i < 2 * kUnansweredMax; ++i) requests.push_back(OpenRequest(i, {}));
  size_t accepted = 0;
  EXPECT_EQ(kvp_submit(client_, requests.data(), requests.size(), &accepted),
            KVP_RESOURCE_EXHAUSTED);
  EXPECT_GT(accepted, 0u);
  EXPECT_LT(accepted, requests.size());
  EXPECT_TRUE(Drain().empty());
  daemon_.Release();
  Collect(accepted);
  ExpectQuiet();
}

// ---- Deadlines ----

TEST_F(AsyncTest, ATimeoutWakesThePollAndALateSequenceIsClosedAgain) {
  AttachAsync();
  const kvp_seq parent = OpenSequence();
  Append(parent, 4, 1);
  daemon_.Hold(MessageType::kOpen);
  daemon_.Hold(MessageType::kFork);
  kvp_step* step = Begin({Entry(parent, 1)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  kvp_request open = OpenRequest(1, {});
  kvp_request fork = Request(KVP_OP_FORK, 2, parent);
  kvp_request patient = OpenRequest(3, {});
  open.timeout_us = 20'000;
  fork.timeout_us = 10'000;
  Submit({patient, open, fork});
  const std::vector<Done> late = Collect(2);
  EXPECT_EQ(late[0].completion.user_data, 2u);  // In the order of their deadlines.
  EXPECT_EQ(late[1].completion.user_data, 1u);
  for (const Done& done : late) {
    EXPECT_EQ(done.completion.status, KVP_DEADLINE_EXCEEDED);
    EXPECT_EQ(done.completion.seq, 0u);
  }
  EXPECT_THAT(late[1].error, HasSubstr("Open"));
  ExpectQuiet();  // The patient one's deadline is far.
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  daemon_.Release();
  EXPECT_EQ(CollectOne().completion.user_data, 3u);
  Barrier();
  while (daemon_.sequences_open() != 3) Length(parent);  // Parent, the patient one, the barrier's.
}

TEST_F(AsyncTest, AStepWhoseWaitTimedOutCanBeWaitedForAgain) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* step = Begin({Entry(seq, 1)});
  kvp_request wait = WaitRequest(1, step);
  wait.timeout_us = 1000;
  Submit({wait});
  EXPECT_EQ(CollectOne().completion.status, KVP_DEADLINE_EXCEEDED);
  Submit({WaitRequest(2, step)});
  daemon_.Release();
  EXPECT_EQ(CollectOne().completion.status, KVP_OK);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
}

TEST_F(AsyncTest, TheClientsTimeoutHoldsWhereARequestHasNone) {
  AttachAsync({.timeout_us = 50'000});
  daemon_.Hold(MessageType::kOpen);
  Submit({OpenRequest(1, {})});
  EXPECT_EQ(CollectOne().completion.status, KVP_DEADLINE_EXCEEDED);
  ExpectQuiet();
}

// ---- Beside blocking calls ----

TEST_F(AsyncTest, WhatABlockingCallTakesInIsKeptAndAnnounced) {
  AttachAsync();
  for (uint64_t i = 0; i < 50; ++i) {
    Submit({OpenRequest(i, {})});
    const kvp_seq seq = OpenSequence();  // Its answer comes behind the other.
    ASSERT_TRUE(IsReadable(fd_, 0));
    const Done done = CollectOne();
    EXPECT_EQ(done.completion.user_data, i);
    EXPECT_EQ(kvp_seq_close(client_, done.completion.seq), KVP_OK);
    EXPECT_EQ(kvp_seq_close(client_, seq), KVP_OK);
  }
}

TEST_F(AsyncTest, AnAnswerThatComesAfterABlockingCallHasSleptIsAnnounced) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  for (uint64_t i = 0; i < 50; ++i) {
    daemon_.Hold(MessageType::kStepBegin);
    kvp_step* step = Begin({Entry(seq, 0)});
    Submit({WaitRequest(i, step)});
    ExpectQuiet();
    Barrier();  // Sleeps, and wakes up by the bell that the poll is on.
    ExpectQuiet();
    EXPECT_EQ(kvp_step_wait(step, 100), KVP_DEADLINE_EXCEEDED);  // Sleeps, and nothing comes.
    daemon_.Release();
    EXPECT_EQ(CollectOne().completion.user_data, i);
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  }
}

TEST_F(AsyncTest, ADrainThatFetchesOnlySomeLeavesThePollReadable) {
  AttachAsync();
  Submit({OpenRequest(1, {}), OpenRequest(2, {}), OpenRequest(3, {})});
  Barrier();
  EXPECT_TRUE(Drain(0).empty());
  for (uint64_t i = 1; i <= 3; ++i) {
    ASSERT_TRUE(IsReadable(fd_, 0));
    const std::vector<Done> one = Drain(1);
    ASSERT_EQ(one.size(), 1u);
    EXPECT_EQ(one[0].completion.user_data, i);
  }
  ExpectQuiet();
}

TEST_F(AsyncTest, TheDescriptorMayBeAskedForLate) {
  Attach();
  Submit({OpenRequest(1, {})});
  Barrier();
  daemon_.Hold(MessageType::kOpen);
  kvp_request open = OpenRequest(2, {});
  open.timeout_us = 10'000;
  Submit({open});
  ASSERT_EQ(kvp_event_fd(client_, &fd_), KVP_OK) << Error();
  EXPECT_EQ(CollectOne().completion.user_data, 1u);
  EXPECT_EQ(CollectOne().completion.user_data, 2u);
  int again = -1;
  EXPECT_EQ(kvp_event_fd(client_, &again), KVP_OK);
  EXPECT_EQ(again, fd_);
}

TEST_F(AsyncTest, OneCanDrainWithoutADescriptor) {
  Attach();
  Submit({OpenRequest(1, {})});
  std::vector<Done> done;
  while (done.empty() && drained_ == KVP_OK) done = Drain();
  EXPECT_EQ(done[0].completion.status, KVP_OK);
}

// ---- The end ----

TEST_F(AsyncTest, ClosingAClientForgetsWhatWasSubmitted) {
  AttachAsync({.timeout_us = 1'000'000});
  const kvp_seq seq = OpenSequence();
  Append(seq, 8, 1);
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* step = Begin({Entry(seq, 1)});
  Submit({OpenRequest(1, {}), OpenRequest(2, Keys(9, 3)), NameRequest(3, seq, Keys(1, 1)),
          WaitRequest(4, step)});
  Detach();
  while (daemon_.clients_attached() != 0) {
  }
}

TEST_F(AsyncTest, WhatIsOutstandingWhenTheDaemonDiesCompletesOnceAsUnavailable) {
  for (uint64_t moment = 0; moment < 12; ++moment) {
    FakeDaemon daemon;
    const OpenArguments arguments(daemon.socket_path());
    ASSERT_EQ(kvp_client_open(&arguments.options, &client_), KVP_OK) << kvp_last_error();
    ASSERT_EQ(kvp_event_fd(client_, &fd_), KVP_OK) << Error();
    const kvp_seq seq = OpenSequence();
    daemon.Hold(MessageType::kStepBegin);
    kvp_step* step = Begin({Entry(seq, 1)});
    if (moment % 2 == 0) {
      daemon.DieBefore(moment / 2);
    } else {
      daemon.DieAfter(moment / 2);
    }
    std::vector<kvp_request> requests = {WaitRequest(0, step)};
    for (uint64_t i = 1; i < 8; ++i) requests.push_back(OpenRequest(i, {}));
    size_t accepted = 0;
    const kvp_status submitted = kvp_submit(client_, requests.data(), requests.size(), &accepted);
    EXPECT_TRUE(submitted == KVP_OK || (submitted == KVP_UNAVAILABLE && accepted == 0)) << Error();
    std::map<uint64_t, kvp_status> done;
    while (true) {
      ASSERT_TRUE(IsReadable(fd_, kWatchdogMs)) << done.size() << " of " << accepted;
      const std::vector<Done> found = Drain(3);
      for (const Done& each : found) {
        EXPECT_TRUE(done.emplace(each.completion.user_data, each.completion.status).second);
        if (each.completion.status != KVP_OK) {
          EXPECT_EQ(each.completion.status, KVP_UNAVAILABLE) << each.error;
          EXPECT_NE(each.error, "");
        }
      }
      if (drained_ != KVP_OK) break;
    }
    EXPECT_EQ(drained_, KVP_UNAVAILABLE);
    EXPECT_EQ(done.size(), accepted);
    if (accepted > 0) {
      EXPECT_EQ(done[0], KVP_UNAVAILABLE);
    }
    EXPECT_TRUE(IsReadable(fd_, 0));  // It stays so: nobody can oversleep the end.
    EXPECT_EQ(kvp_submit(client_, requests.data(), 1, &accepted), KVP_UNAVAILABLE);
    EXPECT_EQ(accepted, 0u);
    Detach();
  }
}

TEST_F(AsyncTest, GarbageFromTheDaemonCompletesWhatIsOutstanding) {
  AttachAsync();
  Barrier();
  daemon_.Hold(MessageType::kOpen);
  Submit({OpenRequest(1, {})});
  Barrier();
  daemon_.SendGarbage();
  const Done done = CollectOne();
  EXPECT_EQ(done.completion.status, KVP_UNAVAILABLE);
  EXPECT_THAT(done.error, HasSubstr("cannot read"));
  EXPECT_TRUE(IsReadable(fd_, 0));
}

TEST_F(AsyncTest, ARevokedClientsSubmissionsAreAborted) {
  AttachAsync();
  daemon_.Hold(MessageType::kOpen);
  Submit({OpenRequest(1, {})});
  daemon_.Revoke();
  const std::vector<Done> done = Drain();
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].completion.status, KVP_ABORTED);
  EXPECT_THAT(done[0].error, HasSubstr("revoked"));
}

// ---- Malformed calls ----

TEST_F(AsyncTest, AMalformedRequestStartsNothing) {
  AttachAsync();
  const kvp_seq seq = OpenSequence();
  const auto refused = [&](auto change, const std::string& words) {
    std::vector<kvp_request> requests = {OpenRequest(1, {}), OpenRequest(2, {})};
    change(requests[1]);
    size_t accepted = 77;
    EXPECT_EQ(kvp_submit(client_, requests.data(), 2, &accepted), KVP_INVALID_ARGUMENT);
    EXPECT_THAT(Error(), HasSubstr(words));
    EXPECT_EQ(accepted, 0u);
  };
  refused([](auto& r) { r.struct_size = 0; }, "sizeof(kvp_request)");
  refused([](auto& r) { r.struct_size += 8; }, "newer kvpager.h");
  refused([](auto& r) { r.op = 0; }, "requests[1]: op is 0");
  refused([](auto& r) { r.op = 7; }, "requests[1]: op is 7");
  refused([](auto& r) { r.num_keys = 2; }, "keys is NULL");
  refused([](auto& r) { r.op = KVP_OP_STEP; }, "step is NULL");
  refused([&](auto& r) { r = Request(KVP_OP_EVICT, 2, seq); }, "KVP_TIER_HOST or KVP_TIER_NVME");
  const kvp_block_key zero{};
  refused([&](auto& r) { r.keys = &zero, r.num_keys = 1; }, "all zero");
  EXPECT_TRUE(Drain().empty());
  EXPECT_EQ(daemon_.sequences_open(), 1u);
}

TEST_F(AsyncTest, AStepOfAnotherClientIsRefused) {
  AttachAsync();
  const OpenArguments arguments(daemon_.socket_path());
  kvp_client* other = nullptr;
  ASSERT_EQ(kvp_client_open(&arguments.options, &other), KVP_OK) << kvp_last_error();
  kvp_step* step = Begin({Entry(OpenSequence(), 1)});
  const kvp_request request = WaitRequest(1, step);
  size_t accepted = 0;
  EXPECT_EQ(kvp_submit(other, &request, 1, &accepted), KVP_INVALID_ARGUMENT);
  EXPECT_THAT(kvp_client_error(other), HasSubstr("another client"));
  kvp_client_close(other);
}

TEST_F(AsyncTest, NullsAreRefused) {
  AttachAsync();
  const kvp_request request = OpenRequest(1, {});
  size_t count = 0;
  EXPECT_EQ(kvp_submit(nullptr, &request, 1, &count), KVP_INVALID_ARGUMENT);
  EXPECT_EQ(kvp_submit(client_, &request, 1, nullptr), KVP_INVALID_ARGUMENT);
  EXPECT_EQ(kvp_submit(client_, nullptr, 1, &count), KVP_INVALID_ARGUMENT);
  EXPECT_EQ(kvp_submit(client_, nullptr, 0, &count), KVP_OK);
  EXPECT_EQ(kvp_event_fd(nullptr, nullptr), KVP_INVALID_ARGUMENT);
  EXPECT_EQ(kvp_event_fd(client_, nullptr), KVP_INVALID_ARGUMENT);
  kvp_completion out{};
  EXPECT_EQ(kvp_drain(nullptr, &out, 1, &count), KVP_INVALID_ARGUMENT);
  EXPECT_EQ(kvp_drain(client_, &out, 1, nullptr), KVP_INVALID_ARGUMENT);
  EXPECT_EQ(kvp_drain(client_, nullptr, 1, &count), KVP_INVALID_ARGUMENT);
  EXPECT_EQ(kvp_drain(client_, &out, 1, &count), KVP_INVALID_ARGUMENT);  // No struct_size.
  EXPECT_THAT(Error(), HasSubstr("sizeof(kvp_completion)"));
  EXPECT_EQ(kvp_drain(client_, nullptr, 0, &count), KVP_OK);
  EXPECT_EQ(count, 0u);
}

TEST_F(AsyncTest, CompletionsOfACallerWithALargerStructLieWhereItExpectsThem) {
  AttachAsync();
  struct Larger {
    kvp_completion known;
    uint64_t newer = 42;
  };
  Submit({OpenRequest(1, {}), OpenRequest(2, {})});
  Barrier();
  Larger out[2];
  out[0].known.struct_size = sizeof(Larger);
  size_t count = 0;
  ASSERT_EQ(kvp_drain(client_, &out[0].known, 2, &count), KVP_OK) << Error();
  ASSERT_EQ(count, 2u);
  for (uint64_t i = 0; i < 2; ++i) {
    EXPECT_EQ(out[i].known.struct_size, sizeof(Larger));
    EXPECT_EQ(out[i].known.user_data, i + 1);
    EXPECT_EQ(out[i].newer, 42u);
  }
}

}  // namespace
}  // namespace kvpager::engine
