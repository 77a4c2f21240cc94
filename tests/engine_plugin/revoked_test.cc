// That an engine which was revoked learns it before it can use what its steps have read, and that
// nothing works on its client any more.

#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {
namespace {

using testing::HasSubstr;

class RevokedTest : public EngineFixture, public testing::WithParamInterface<uint32_t> {
 protected:
  void AttachIt() { Attach({.pinned_steps = GetParam()}); }

  void ExpectDead(kvp_seq seq) {
    uint64_t tokens = 0;
    EXPECT_EQ(kvp_seq_length(client_, seq, &tokens), KVP_ABORTED);
    EXPECT_THAT(Error(), HasSubstr("revoked this client"));
    kvp_seq other = 0;
    EXPECT_EQ(kvp_seq_open(client_, nullptr, 0, &other, nullptr), KVP_ABORTED);
    const kvp_step_entry entry = Entry(seq, 0);
    kvp_step* step = nullptr;
    EXPECT_EQ(kvp_step_begin(client_, nullptr, &entry, 1, &step), KVP_ABORTED);
    EXPECT_EQ(step, nullptr);
  }
};

TEST_P(RevokedTest, AStepThatEndsBehindItIsAborted) {
  AttachIt();
  const kvp_seq seq = OpenSequence();
  Append(seq, 10, 1);
  kvp_step* step = Begin({Entry(seq, 0)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  daemon_.Revoke();
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_ABORTED);
  ExpectDead(seq);
}

TEST_P(RevokedTest, NoStepBeginsBehindIt) {
  AttachIt();
  const kvp_seq seq = OpenSequence();
  Append(seq, 10, 1);
  daemon_.Revoke();
  ExpectDead(seq);
}

TEST_P(RevokedTest, AStepIsNotReadyBehindIt) {
  AttachIt();
  const kvp_seq seq = OpenSequence();
  Append(seq, 10, 1);
  kvp_step* step = Begin({Entry(seq, 4)});
  Barrier();  // Its answer has come.
  daemon_.Revoke();
  EXPECT_EQ(kvp_step_wait(step, kLongUs), KVP_ABORTED);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_ABORTED);
}

TEST_P(RevokedTest, WhoWaitsIsWoken) {
  AttachIt();
  const kvp_seq seq = OpenSequence();
  daemon_.Hold(MessageType::kStepBegin);
  kvp_step* step = Begin({Entry(seq, 4)});
  daemon_.Revoke();
  EXPECT_EQ(kvp_step_wait(step, kLongUs), KVP_ABORTED);
  ExpectDead(seq);
}

INSTANTIATE_TEST_SUITE_P(Steps, RevokedTest, testing::Values(0u, 1u), [](const auto& test) {
  return test.param == 0 ? std::string("message_free") : std::string("pinned");
});

}  // namespace
}  // namespace kvpager::engine
