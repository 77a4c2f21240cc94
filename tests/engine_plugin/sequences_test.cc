// Sequences: reuse by name, fork, truncate, compact, suspend, and requests that are posted.

#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SequencesTest : public EngineFixture {
 protected:
  std::vector<SeenRequest> Seen(MessageType type) const {
    std::vector<SeenRequest> seen;
    for (const SeenRequest& request : daemon_.seen()) {
      if (request.type == type) seen.push_back(request);
    }
    return seen;
  }
  kvp_status Name(kvp_seq seq, uint32_t first, const std::vector<kvp_block_key>& keys,
                  uint32_t flags = 0) {
    return kvp_seq_name(client_, seq, first, keys.data(), keys.size(), flags, kLongUs);
  }
};

TEST_F(SequencesTest, ANamedPrefixIsFoundAgain) {
  Attach();
  const std::vector<kvp_block_key> keys = Keys(1, 3);
  const kvp_seq seq = OpenSequence(keys);
  EXPECT_EQ(Length(seq), 0u);
  Append(seq, 14, 1);
  ASSERT_EQ(Name(seq, 0, keys), KVP_OK) << Error();
  ASSERT_EQ(kvp_seq_close(client_, seq), KVP_OK);
  std::vector<kvp_block_key> longer = keys;
  longer.push_back(Keys(2, 1)[0]);
  uint32_t reused = 0;
  const kvp_seq again = OpenSequence(longer, &reused);
  EXPECT_EQ(reused, 12u);
  ExpectRows(again, Origins(12, 1));
  Append(again, 2, 1);
  ExpectRows(again, Origins(14, 1));
}

TEST_F(SequencesTest, ANameGivenLastSurvivesTheEndOfItsEngine) {
  Attach();
  const std::vector<kvp_block_key> keys = Keys(1, 6);
  const kvp_seq seq = OpenSequence();
  Append(seq, 20, 1);
  kvp_step* step = Begin({Entry(seq, 4)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  ASSERT_EQ(Name(seq, 0, {keys.begin(), keys.begin() + 5}), KVP_OK);
  ASSERT_EQ(Name(seq, 5, {keys.begin() + 5, keys.end()}), KVP_OK);  // Never kept: not named.
  Detach();
  EXPECT_EQ(daemon_.names_count(), 5u);
}

TEST_F(SequencesTest, MoreKeysThanOneRequestMayHoldAreSentWhileTheyHit) {
  Attach();  // The fake takes 4 keys per request.
  const std::vector<kvp_block_key> keys = Keys(1, 10);
  const kvp_seq seq = OpenSequence(keys);
  EXPECT_EQ(Seen(MessageType::kExtend).size(), 0u);  // The first piece did not hit.
  Append(seq, 40, 1);
  ASSERT_EQ(Name(seq, 0, keys), KVP_OK) << Error();
  uint32_t reused = 0;
  const kvp_seq again = OpenSequence(keys, &reused);
  EXPECT_EQ(reused, 40u);
  EXPECT_EQ(Seen(MessageType::kName).size(), 3u);
  ASSERT_EQ(Seen(MessageType::kExtend).size(), 2u);
  EXPECT_EQ(Seen(MessageType::kExtend)[1].keys_count, 2u);
  ExpectRows(again, Origins(40, 1));
}

TEST_F(SequencesTest, ATruncatedSealedBlockIsListedShorterAndCopiedByTheNextAppend) {
  Attach();
  const std::vector<kvp_block_key> keys = Keys(1, 2);
  const kvp_seq seq = OpenSequence(keys);
  Append(seq, 8, 1);
  ASSERT_EQ(Name(seq, 0, keys), KVP_OK);
  ASSERT_EQ(kvp_seq_truncate(client_, seq, 6), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 6u);
  kvp_step* step = Begin({Entry(seq, 0)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  const ViewCopy sealed = View(step, 0);
  EXPECT_THAT(sealed.last_page_len, ElementsAre(2));
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);
  Append(seq, 1, 2);
  std::vector<Origin> rows = Origins(6, 1);
  rows.push_back({2, 6});
  ExpectRows(seq, rows);
  ExpectRows(OpenSequence(keys), Origins(8, 1));  // The named block is as it was.
}

TEST_F(SequencesTest, ViewsOfAStepDoNotMoveWhenALaterStepCopiesTheBlock) {
  Attach();
  const std::vector<kvp_block_key> keys = Keys(1, 1);
  const kvp_seq seq = OpenSequence(keys);
  Append(seq, 4, 1);
  ASSERT_EQ(Name(seq, 0, keys), KVP_OK);
  ASSERT_EQ(kvp_seq_truncate(client_, seq, 2), KVP_OK) << Error();
  kvp_step* reader = Begin({Entry(seq, 0)});
  ASSERT_EQ(kvp_step_wait(reader, kLongUs), KVP_OK) << Error();
  const ViewCopy before = View(reader, 0);
  kvp_step* writer = Begin({Entry(seq, 1)});
  ASSERT_EQ(kvp_step_wait(writer, kLongUs), KVP_OK) << Error();
  EXPECT_EQ(View(reader, 0).indices, before.indices);
  EXPECT_NE(View(writer, 0).indices, before.indices);
  EXPECT_EQ(kvp_step_end(reader, KVP_STEP_KEEP), KVP_OK);
  EXPECT_EQ(kvp_step_end(writer, KVP_STEP_KEEP), KVP_OK);
}

TEST_F(SequencesTest, AForkHasTheParentsTokensAndThenItsOwn) {
  Attach();
  const kvp_seq parent = OpenSequence();
  Append(parent, 6, 1);
  kvp_seq child = 0;
  ASSERT_EQ(kvp_seq_fork(client_, parent, &child), KVP_OK) << Error();
  Append(child, 2, 2);
  Append(parent, 3, 1);
  std::vector<Origin> rows = Origins(6, 1);
  rows.push_back({2, 6});
  rows.push_back({2, 7});
  ExpectRows(child, rows);
  ExpectRows(parent, Origins(9, 1));
}

TEST_F(SequencesTest, AForkDuringAStepIsUsableWhenThatStepHasEnded) {
  Attach();
  const kvp_seq parent = OpenSequence();
  Append(parent, 3, 1);
  kvp_step* step = Begin({Entry(parent, 2)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  Write(step, 3, 5, 1);
  kvp_seq child = 0;
  ASSERT_EQ(kvp_seq_fork(client_, parent, &child), KVP_OK) << Error();
  EXPECT_EQ(Length(child), 5u);
  const kvp_step_entry entry = Entry(child, 1);
  kvp_step* early = nullptr;
  EXPECT_EQ(kvp_step_begin(client_, nullptr, &entry, 1, &early), KVP_FAILED_PRECONDITION);
  EXPECT_THAT(Error(), HasSubstr("fork"));
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);
  ExpectRows(child, Origins(5, 1));
  EXPECT_EQ(kvp_seq_close(client_, child), KVP_OK);
}

TEST_F(SequencesTest, AForkDuringAStepThatIsDiscardedHasNoneOfItsTokens) {
  Attach();
  const kvp_seq parent = OpenSequence();
  Append(parent, 3, 1);
  kvp_step* step = Begin({Entry(parent, 6)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  kvp_seq child = 0;
  kvp_seq closed = 0;
  ASSERT_EQ(kvp_seq_fork(client_, parent, &child), KVP_OK) << Error();
  ASSERT_EQ(kvp_seq_fork(client_, parent, &closed), KVP_OK) << Error();
  ASSERT_EQ(kvp_seq_close(client_, closed), KVP_OK) << Error();
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK);
  ExpectRows(child, Origins(3, 1));
  ExpectRows(parent, Origins(3, 1));
  Barrier();
  Barrier();
  EXPECT_EQ(daemon_.sequences_open(), 3u);  // Parent, child, barrier: the closed fork is gone.
}

TEST_F(SequencesTest, ANameGivenDuringAStepWaitsForKeep) {
  Attach();
  const std::vector<kvp_block_key> keys = Keys(1, 1);
  const kvp_seq seq = OpenSequence();
  for (const int32_t keep_or_discard : {KVP_STEP_DISCARD, KVP_STEP_KEEP}) {
    kvp_step* step = Begin({Entry(seq, 4)});
    ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
    Write(step, 0, 4, 1);
    ASSERT_EQ(Name(seq, 0, keys), KVP_OK) << Error();
    EXPECT_EQ(Name(seq, 0, keys, KVP_NAME_DURABLE), KVP_FAILED_PRECONDITION);
    Barrier();
    EXPECT_EQ(daemon_.names_count(), 0u);
    ASSERT_EQ(kvp_step_end(step, keep_or_discard), KVP_OK) << Error();
    Barrier();
    EXPECT_EQ(daemon_.names_count(), keep_or_discard == KVP_STEP_KEEP ? 1u : 0u);
  }
}

TEST_F(SequencesTest, CompactMovesTheAcceptedPathToTheFront) {
  for (const uint32_t layers_per_page : {1u, 2u}) {
    for (const uint32_t layout : {KVP_LAYOUT_NHD, KVP_LAYOUT_HND}) {
      FakeDaemon daemon;
      setup_ = {.layers_per_page = layers_per_page, .layout = layout};
      const OpenArguments arguments(daemon.socket_path(), setup_);
      ASSERT_EQ(kvp_client_open(&arguments.options, &client_), KVP_OK) << kvp_last_error();
      pool_.struct_size = sizeof(pool_);
      ASSERT_EQ(kvp_client_pool_info(client_, &pool_), KVP_OK);
      const kvp_seq seq = OpenSequence();
      Append(seq, 13, 1);
      const uint32_t accepted[] = {0, 2, 3, 7};
      ASSERT_EQ(kvp_seq_compact(client_, seq, 0, 5, accepted, 4), KVP_OK) << Error();
      std::vector<Origin> rows = Origins(6, 1);
      for (const uint64_t token : {7, 8, 12}) rows.push_back({1, token});
      ExpectRows(seq, rows);
      EXPECT_EQ(daemon.length_tokens(seq), 9u);
      Detach();
    }
  }
}

TEST_F(SequencesTest, CompactOfAPrefixMovesNothingAndAcceptsIt) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 9, 1);
  const size_t steps_before = Seen(MessageType::kStepBegin).size();
  const uint32_t accepted[] = {0, 1};
  ASSERT_EQ(kvp_seq_compact(client_, seq, 0, 5, accepted, 2), KVP_OK) << Error();
  Barrier();
  EXPECT_EQ(Seen(MessageType::kStepBegin).size(), steps_before);
  ASSERT_EQ(Seen(MessageType::kTruncate).size(), 1u);
  EXPECT_TRUE(Seen(MessageType::kTruncate)[0].accept);
  EXPECT_EQ(Seen(MessageType::kTruncate)[0].tokens, 7u);
  ExpectRows(seq, Origins(7, 1));
}

TEST_F(SequencesTest, ASuspendedSequenceTakesPartInNoStep) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 4, 1);
  ASSERT_EQ(kvp_seq_suspend(client_, seq), KVP_OK);
  const kvp_step_entry entry = Entry(seq, 1);
  kvp_step* step = nullptr;
  EXPECT_EQ(kvp_step_begin(client_, nullptr, &entry, 1, &step), KVP_FAILED_PRECONDITION);
  EXPECT_THAT(Error(), HasSubstr("resume"));
  ASSERT_EQ(kvp_seq_resume(client_, seq), KVP_OK) << Error();
  ExpectRows(seq, Origins(4, 1));
}

TEST_F(SequencesTest, APostedRequestsErrorIsReportedByTheNextCallOnItsSequence) {
  Attach();
  const std::vector<kvp_block_key> keys = Keys(1, 1);
  const kvp_seq seq = OpenSequence();
  const kvp_seq other = OpenSequence();
  Append(seq, 4, 1);
  daemon_.FailNext(MessageType::kName, absl::ResourceExhaustedError("the quota is spent"));
  ASSERT_EQ(Name(seq, 0, keys), KVP_OK);
  Barrier();
  Append(other, 1, 1);  // Not concerned.
  const kvp_step_entry entry = Entry(seq, 1);
  kvp_step* step = nullptr;
  EXPECT_EQ(kvp_step_begin(client_, nullptr, &entry, 1, &step), KVP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(Error(), HasSubstr("an earlier Name of this sequence: the quota is spent"));
  EXPECT_EQ(Length(seq), 4u);
  Append(seq, 1, 1);  // Reported once.
  ExpectRows(seq, Origins(5, 1));
}

TEST_F(SequencesTest, ADurableNameReportsItsOwnError) {
  Attach();
  const std::vector<kvp_block_key> keys = Keys(1, 6);
  const kvp_seq seq = OpenSequence();
  Append(seq, 24, 1);
  daemon_.FailNext(MessageType::kName, absl::ResourceExhaustedError("the quota is spent"));
  EXPECT_EQ(Name(seq, 0, keys, KVP_NAME_DURABLE), KVP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(Name(seq, 0, keys, KVP_NAME_DURABLE), KVP_OK) << Error();
}

TEST_F(SequencesTest, AFailedTruncateBreaksItsSequenceUntilItIsClosed) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 8, 1);
  daemon_.FailNext(MessageType::kTruncate, absl::ResourceExhaustedError("too much is waiting"));
  ASSERT_EQ(kvp_seq_truncate(client_, seq, 3), KVP_OK);
  Barrier();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(kvp_seq_suspend(client_, seq), KVP_FAILED_PRECONDITION);
    EXPECT_THAT(Error(), HasSubstr("too much is waiting"));
  }
  EXPECT_EQ(kvp_seq_close(client_, seq), KVP_OK) << Error();
}

TEST_F(SequencesTest, APrefetchsErrorIsReportedByTheNextPrefetchAndByNothingElse) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 4, 1);
  daemon_.FailNext(MessageType::kPrefetch, absl::ResourceExhaustedError("64 prefetches run"));
  ASSERT_EQ(kvp_seq_prefetch(client_, seq, KVP_TIER_HBM, 1000, 1), KVP_OK);
  Barrier();
  Append(seq, 1, 1);
  const std::vector<kvp_block_key> keys = Keys(1, 6);
  EXPECT_EQ(kvp_prefetch_keys(client_, keys.data(), keys.size(), KVP_TIER_HOST, 0, 0),
            KVP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(kvp_prefetch_keys(client_, keys.data(), keys.size(), KVP_TIER_HOST, 0, 0), KVP_OK);
  EXPECT_EQ(kvp_seq_evict(client_, seq, KVP_TIER_NVME), KVP_OK) << Error();
  EXPECT_EQ(Seen(MessageType::kPrefetch).size(), 3u);  // One of 1, then 4 and 2 keys.
}

TEST_F(SequencesTest, ManyPostedRequestsStayWithinTheBound) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 4, 1);
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(kvp_seq_prefetch(client_, seq, KVP_TIER_HBM, 0, 0), KVP_OK) << Error();
  }
  Barrier();
  EXPECT_EQ(Seen(MessageType::kPrefetch).size(), 2000u);
}

TEST_F(SequencesTest, TheEndOfAStepPassesRequestsThatWaitForIt) {
  Attach({.timeout_us = 200'000});
  const kvp_seq seq = OpenSequence();
  Append(seq, 4, 1);
  kvp_step* step = Begin({Entry(seq, 0)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  kvp_status status = KVP_OK;
  int posted = 0;
  for (; posted < 2000 && status == KVP_OK; ++posted) {
    status = kvp_seq_truncate(client_, seq, 4);  // The daemon defers each until the step ends.
  }
  EXPECT_EQ(status, KVP_RESOURCE_EXHAUSTED);
  EXPECT_GT(posted, 192);
  EXPECT_THAT(Error(), HasSubstr("end the steps they wait for"));
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
  ExpectRows(seq, Origins(4, 1));
}

}  // namespace
}  // namespace kvpager::engine
