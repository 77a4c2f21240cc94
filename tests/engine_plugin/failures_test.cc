// What goes wrong outside the engine: lost blocks, a daemon that breaks its promises, hangs, or
// dies at any moment. Never a wrong frame, never a hang.

#include <functional>

#include "engine_plugin/exchange.h"
#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class FailuresTest : public EngineFixture {
 protected:
  kvp_status BeginOnly(kvp_seq seq, uint32_t append_tokens) {
    const kvp_step_entry entry = Entry(seq, append_tokens);
    kvp_step* step = nullptr;
    const kvp_status status = kvp_step_begin(client_, nullptr, &entry, 1, &step);
    EXPECT_EQ(step == nullptr, status != KVP_OK);
    if (step == nullptr) return status;
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK) << Error();
    return status;
  }
};

TEST_F(FailuresTest, ALossBetweenStepsIsReportedBeforeAnythingIsBuiltOnIt) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 15, 1);
  daemon_.LoseTokens(seq, 8);
  Barrier();
  EXPECT_EQ(BeginOnly(seq, 1), KVP_DATA_LOSS);
  EXPECT_THAT(Error(), HasSubstr("lost"));
  EXPECT_EQ(Length(seq), 8u);
  Append(seq, 3, 1);
  ExpectRows(seq, Origins(11, 1));
}

TEST_F(FailuresTest, AStepBegunBeforeTheNoticeOfALossFailsAndItsTokensGo) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 15, 1);
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* writer = Begin({Entry(seq, 2)});
  kvp_step* reader = Begin({Entry(seq, 0)});
  daemon_.LoseTokens(seq, 8);
  Barrier();
  daemon_.Release();
  EXPECT_EQ(kvp_step_wait(writer, kLongUs), KVP_DATA_LOSS);
  EXPECT_EQ(kvp_step_wait(reader, kLongUs), KVP_DATA_LOSS);
  kvp_view view{};
  view.struct_size = sizeof(view);
  EXPECT_EQ(kvp_step_view(writer, 0, KVP_TIER_HBM, &view), KVP_DATA_LOSS);
  EXPECT_EQ(kvp_step_end(writer, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(kvp_step_end(reader, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 8u);
  EXPECT_EQ(BeginOnly(seq, 1), KVP_DATA_LOSS);
  Append(seq, 4, 1);
  ExpectRows(seq, Origins(12, 1));
  EXPECT_EQ(daemon_.length_tokens(seq), 12u);
}

TEST_F(FailuresTest, ALossFoundByAStepIsItsAnswerAndEndsLaterStepsOfTheSequence) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 15, 1);
  daemon_.LoseInNextStep(8);
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* first = Begin({Entry(seq, 1)});
  kvp_step* second = Begin({Entry(seq, 1)});
  daemon_.Release();
  EXPECT_EQ(kvp_step_wait(first, kLongUs), KVP_DATA_LOSS);
  EXPECT_THAT(Error(), HasSubstr("could not be read"));
  EXPECT_THAT(kvp_step_wait(second, kLongUs), AnyOf(KVP_DATA_LOSS, KVP_ABORTED));
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_DISCARD), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 8u);
  Append(seq, 1, 1);
  ExpectRows(seq, Origins(9, 1));
  EXPECT_EQ(daemon_.length_tokens(seq), 9u);
}

TEST_F(FailuresTest, AStepThatFailsTakesLaterStepsOfItsSequencesWithIt) {
  Attach();
  const kvp_seq seq = OpenSequence();
  const kvp_seq other = OpenSequence();
  Append(seq, 4, 1);
  daemon_.FailNext(MessageType::kStepBegin, absl::ResourceExhaustedError("it cannot fit"));
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* first = Begin({Entry(seq, 100)});
  kvp_step* second = Begin({Entry(seq, 1)});
  kvp_step* third = Begin({Entry(other, 1)});
  daemon_.Release();
  EXPECT_EQ(kvp_step_wait(first, kLongUs), KVP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(Error(), HasSubstr("it cannot fit"));
  EXPECT_EQ(kvp_step_wait(second, kLongUs), KVP_ABORTED);
  EXPECT_EQ(kvp_step_wait(third, kLongUs), KVP_OK) << Error();
  EXPECT_EQ(Length(seq), 4u);
  const kvp_step_entry entry = Entry(seq, 1);  // On a length that the engine may not know of yet.
  kvp_step* fourth = nullptr;
  EXPECT_EQ(kvp_step_begin(client_, nullptr, &entry, 1, &fourth), KVP_ABORTED);
  EXPECT_THAT(Error(), HasSubstr("end it with discard"));
  EXPECT_EQ(kvp_step_end(first, KVP_STEP_KEEP), KVP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(kvp_step_end(second, KVP_STEP_KEEP), KVP_ABORTED);
  EXPECT_EQ(kvp_step_end(third, KVP_STEP_KEEP), KVP_OK);
  Append(seq, 1, 1);
  ExpectRows(seq, Origins(5, 1));
}

TEST_F(FailuresTest, AWordThatSaysNothingIsAnErrorAndNotAFrame) {
  Attach({.layers_per_page = 1});
  const kvp_seq seq = OpenSequence();
  Append(seq, 9, 1);
  const std::vector<std::function<void()>> breaks = {
      [&] { daemon_.WithdrawWord(seq, 1, 1); },
      [&] { daemon_.AgeWord(seq, 2, 1); },
  };
  for (const auto& break_word : breaks) {
    kvp_step* step = Begin({Entry(seq, 0)});
    ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
    break_word();
    View(step, 0);  // The other group's pages are where they were.
    kvp_view view{};
    view.struct_size = sizeof(view);
    EXPECT_EQ(kvp_step_view(step, 1, KVP_TIER_HBM, &view), KVP_UNAVAILABLE);
    EXPECT_THAT(Error(), HasSubstr("broke its promise"));
    EXPECT_EQ(view.indptr, nullptr);
    EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);
  }
}

TEST_F(FailuresTest, AHostPageIsNoPageForAResidentStep) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 9, 1);
  kvp_step* step = Begin({Entry(seq, 0)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  daemon_.MoveToHost(seq, {1});
  kvp_view view{};
  view.struct_size = sizeof(view);
  EXPECT_EQ(kvp_step_view(step, 0, KVP_TIER_HBM, &view), KVP_UNAVAILABLE);
  EXPECT_THAT(Error(), HasSubstr("is not in HBM"));
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);
}

TEST_F(FailuresTest, AMessageThatCannotBeReadEndsTheClient) {
  Attach();
  const kvp_seq seq = OpenSequence();
  daemon_.SendGarbage();
  kvp_status status = KVP_OK;
  while (status == KVP_OK) {
    kvp_seq another = 0;
    status = kvp_seq_open(client_, nullptr, 0, &another, nullptr);
  }
  EXPECT_EQ(status, KVP_UNAVAILABLE);
  EXPECT_THAT(Error(), HasSubstr("cannot read"));
  EXPECT_EQ(kvp_seq_close(client_, seq), KVP_UNAVAILABLE);
}

TEST_F(FailuresTest, AnAnswerToARequestThatWasNotSentYetEndsTheClient) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Barrier();
  // Posted until one has to wait for room: it has the next number, and nobody has seen it.
  daemon_.Hold(MessageType::kPrefetch);
  const size_t seen = daemon_.seen().size();
  for (size_t i = 0; i < kUnansweredMax + 1; ++i) {
    ASSERT_EQ(kvp_seq_prefetch(client_, seq, KVP_TIER_HBM, 0, 0), KVP_OK) << Error();
  }
  daemon_.AnswerUnasked(seen + kUnansweredMax + 1);
  kvp_status status = KVP_OK;
  while (status == KVP_OK) {
    uint64_t tokens = 0;
    status = kvp_seq_length(client_, seq, &tokens);
  }
  EXPECT_EQ(status, KVP_UNAVAILABLE);
  EXPECT_THAT(Error(), HasSubstr("which was not sent"));
}

TEST_F(FailuresTest, ADaemonThatDoesNotAnswerIsWaitedForOnlyAsLongAsAllowed) {
  Attach({.timeout_us = 50'000});
  daemon_.Hold(MessageType::kOpen);
  kvp_seq seq = 0;
  EXPECT_EQ(kvp_seq_open(client_, nullptr, 0, &seq, nullptr), KVP_DEADLINE_EXCEEDED);
  EXPECT_THAT(Error(), HasSubstr("Open"));
  EXPECT_EQ(seq, 0u);
  // The late answer is a sequence that nobody has: it is closed again.
  daemon_.Release();
  while (kvp_seq_open(client_, nullptr, 0, &seq, nullptr) != KVP_OK) {
  }
  while (daemon_.sequences_open() != 1) {
    uint64_t tokens = 0;
    ASSERT_EQ(kvp_seq_length(client_, seq, &tokens), KVP_OK) << Error();
  }
}

TEST_F(FailuresTest, ADaemonThatWasStoppedIsUnavailableEvenWhileItsSocketIsThere) {
  Attach();
  const kvp_seq seq = OpenSequence();
  daemon_.Stop();
  uint64_t tokens = 0;
  EXPECT_EQ(kvp_seq_length(client_, seq, &tokens), KVP_UNAVAILABLE);
  EXPECT_THAT(Error(), HasSubstr("stopped"));
}

// ---- Death
// ---------------------------------------------------------------------------------------

// An engine's whole life. Every call may meet a dead daemon; then it, and every later one that
// needs the daemon, is kUnavailable.
class Life {
 public:
  explicit Life(const std::string& socket_path) : arguments_(socket_path) {}
  ~Life() { kvp_client_close(client_); }

  void Live() {
    if (!Call("open", kvp_client_open(&arguments_.options, &client_))) return;
    std::vector<kvp_block_key> keys(2);
    kvp_hash_block(nullptr, nullptr, 0, &keys[0]);
    kvp_hash_block(&keys[0], nullptr, 0, &keys[1]);
    for (int round = 0; round < 2; ++round) {
      kvp_seq seq = 0;
      if (!Call("seq_open", kvp_seq_open(client_, keys.data(), 2, &seq, nullptr))) return;
      if (!Step(seq, 5, KVP_STEP_KEEP) || !Step(seq, 3, KVP_STEP_KEEP)) return;
      if (!Call("name", kvp_seq_name(client_, seq, 0, keys.data(), 2, 0, 0))) return;
      if (!Step(seq, 3, KVP_STEP_DISCARD)) return;
      kvp_seq child = 0;
      if (!Call("fork", kvp_seq_fork(client_, seq, &child))) return;
      const uint32_t accepted[] = {1};
      if (!Call("compact", kvp_seq_compact(client_, child, 1, 6, accepted, 1))) return;
      if (!Call("suspend", kvp_seq_suspend(client_, child))) return;
      if (!Call("resume", kvp_seq_resume(client_, child))) return;
      if (!Call("truncate", kvp_seq_truncate(client_, child, 1))) return;
      if (!Call("evict", kvp_seq_evict(client_, seq, KVP_TIER_HOST))) return;
      if (!Call("durable name",
                kvp_seq_name(client_, seq, 0, keys.data(), 1, KVP_NAME_DURABLE, kLongUs))) {
        return;
      }
      if (!Call("close", kvp_seq_close(client_, seq))) return;
    }
    lived_to_the_end_ = true;
  }

  bool lived_to_the_end() const { return lived_to_the_end_; }
  kvp_client* client() const { return client_; }

 private:
  bool Call(const char* name, kvp_status status) {
    if (status == KVP_OK) return true;
    EXPECT_EQ(status, KVP_UNAVAILABLE)
        << name << ": " << (client_ == nullptr ? kvp_last_error() : kvp_client_error(client_));
    return false;
  }

  bool Step(kvp_seq seq, uint32_t append_tokens, int32_t keep_or_discard) {
    const kvp_step_entry entry = {seq, append_tokens, 0, 0, KVP_ALL, 0, KVP_ALL};
    kvp_step* step = nullptr;
    if (!Call("begin", kvp_step_begin(client_, nullptr, &entry, 1, &step))) return false;
    const bool ready = Call("wait", kvp_step_wait(step, kLongUs));
    if (ready) {  // What is mapped stays mapped, whoever is alive.
      kvp_view view{};
      view.struct_size = sizeof(view);
      EXPECT_EQ(kvp_step_view(step, 0, KVP_TIER_HBM, &view), KVP_OK);
      void* k = nullptr;
      void* v = nullptr;
      EXPECT_EQ(kvp_client_layer(client_, KVP_TIER_HBM, 0, &k, &v), KVP_OK);
      static_cast<float*>(k)[view.indices[0] * 1024] = 1;
    }
    return Call("end", kvp_step_end(step, ready ? keep_or_discard : KVP_STEP_DISCARD)) && ready;
  }

  OpenArguments arguments_;
  kvp_client* client_ = nullptr;
  bool lived_to_the_end_ = false;
};

TEST_F(FailuresTest, ADaemonThatDiesAtAnyMomentIsUnavailableAndNobodyHangs) {
  uint64_t moment = 0;
  for (bool survived = false; !survived; ++moment) {
    for (const bool answers_first : {false, true}) {
      FakeDaemon daemon;
      if (answers_first) {
        daemon.DieAfter(moment);
      } else {
        daemon.DieBefore(moment);
      }
      Life life(daemon.socket_path());
      life.Live();
      survived = life.lived_to_the_end();
      if (survived || life.client() == nullptr) continue;
      kvp_seq seq = 0;
      EXPECT_EQ(kvp_seq_open(life.client(), nullptr, 0, &seq, nullptr), KVP_UNAVAILABLE);
      EXPECT_THAT(kvp_client_error(life.client()),
                  AnyOf(HasSubstr("attach again"), HasSubstr("open a new one")));
    }
  }
  EXPECT_GT(moment, 30u);  // The life is that many requests long.
}

TEST_F(FailuresTest, ClosingWithStepsAndSequencesOpenIsFine) {
  Attach();
  const kvp_seq seq = OpenSequence();
  kvp_step* step = Begin({Entry(seq, 4)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  daemon_.Hold(MessageType::kStepBegin);
  Begin({Entry(seq, 4)});
  Detach();
  while (daemon_.clients_attached() != 0) {
  }
}

}  // namespace
}  // namespace kvpager::engine
