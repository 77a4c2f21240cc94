// That an engine whose daemon is killed is told so by whatever it calls, wherever it is, and goes
// on warm with the next daemon.

#include <signal.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

constexpr uint64_t kPrompts = 6;
constexpr uint32_t kBlocks = 4;
constexpr uint32_t kPageTokens = 16;
constexpr uint64_t kLongUs = 60'000'000;

class Restart : public ::testing::Test {
 protected:
  void SetUp() override {
    StartDaemon();
    Reattach();
    for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
      ASSERT_EQ(engine_.Serve(prompt, kBlocks, KVP_NAME_DURABLE).status, KVP_OK);
    }
    uint32_t reused = 0;
    ASSERT_EQ(engine_.OpenPrompt(1, kBlocks, &sequence_, &reused), KVP_OK) << engine_.error();
    ASSERT_EQ(Step(0), KVP_OK);
  }

  void StartDaemon() {
    daemon_ = std::make_unique<Daemon>(directory_, DaemonOptions{});
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
  }

  void Reattach() {
    EngineOptions options;
    options.socket_path = daemon_->socket_path();
    ASSERT_EQ(engine_.Open(options), KVP_OK) << engine_.error();
  }

  // A whole step over the sequence. Without a message, where nothing is appended.
  kvp_status Step(uint32_t append_tokens) {
    kvp_step* step = nullptr;
    kvp_status status = engine_.Begin(sequence_, append_tokens, &step);
    if (status != KVP_OK) return status;
    status = kvp_step_wait(step, kLongUs);
    const kvp_status ended = kvp_step_end(step, KVP_STEP_KEEP);
    return status == KVP_OK ? ended : status;
  }

  void ExpectUnavailable() {
    uint64_t tokens = 0;
    EXPECT_EQ(kvp_seq_length(engine_.client(), sequence_, &tokens), KVP_UNAVAILABLE);
    kvp_seq other = 0;
    EXPECT_EQ(kvp_seq_open(engine_.client(), nullptr, 0, &other, nullptr), KVP_UNAVAILABLE);
    EXPECT_EQ(Step(0), KVP_UNAVAILABLE);
    EXPECT_EQ(Step(1), KVP_UNAVAILABLE);
    EXPECT_EQ(engine_.NamePrompt(sequence_, 1, kBlocks, KVP_NAME_DURABLE), KVP_UNAVAILABLE);
    EXPECT_EQ(kvp_seq_close(engine_.client(), sequence_), KVP_UNAVAILABLE);
  }

  // With a new client of the next daemon everything that was durable is there.
  void ExpectWarm() {
    StartDaemon();
    Reattach();
    for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
      const Served served = engine_.Serve(prompt, kBlocks, 0);
      EXPECT_EQ(served.status, KVP_OK) << engine_.error();
      EXPECT_EQ(served.reused_blocks, kBlocks) << "prompt " << prompt;
      EXPECT_EQ(served.mismatched_blocks, 0u) << "prompt " << prompt;
    }
    EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Daemon> daemon_;
  TestEngine engine_;
  kvp_seq sequence_ = 0;
};

TEST_F(Restart, AnIdleEngineIsToldAndGoesOnWarm) {
  daemon_->Kill();
  ExpectUnavailable();
  ExpectWarm();
}

// Its end sends nothing, so it may not notice; what comes after it does.
TEST_F(Restart, AnEngineInAStepWithoutAMessageFinishesItIsToldAndGoesOnWarm) {
  kvp_step* step = nullptr;
  ASSERT_EQ(engine_.Begin(sequence_, 0, &step), KVP_OK);
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  daemon_->Kill();
  // What is mapped stays mapped: its kernels finish on the right bytes.
  Served served;
  served.reused_blocks = kBlocks;
  EXPECT_EQ(engine_.CheckAndFill(step, 1, kBlocks, served), KVP_OK) << engine_.error();
  EXPECT_EQ(served.mismatched_blocks, 0u);
  const kvp_status ended = kvp_step_end(step, KVP_STEP_KEEP);
  EXPECT_TRUE(ended == KVP_OK || ended == KVP_UNAVAILABLE) << engine_.error();
  ExpectUnavailable();
  ExpectWarm();
}

// Once one call has said so, every call does: also the end of a step that needs no message.
TEST_F(Restart, AnEngineThatWasToldIsToldAgainByTheEndOfItsStep) {
  kvp_step* step = nullptr;
  ASSERT_EQ(engine_.Begin(sequence_, 0, &step), KVP_OK);
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  daemon_->Kill();
  uint64_t tokens = 0;
  EXPECT_EQ(kvp_seq_length(engine_.client(), sequence_, &tokens), KVP_UNAVAILABLE);
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_UNAVAILABLE);
  ExpectUnavailable();
}

TEST_F(Restart, AnEngineThatRunsStepsWithoutAMessageIsTold) {
  daemon_->Kill();
  kvp_status status = KVP_OK;
  for (uint64_t steps = 0; status == KVP_OK && steps < 100'000'000; ++steps) status = Step(0);
  EXPECT_EQ(status, KVP_UNAVAILABLE);
  ExpectUnavailable();
  ExpectWarm();
}

TEST_F(Restart, AnEngineInAPinnedStepIsToldWhenItEndsAndGoesOnWarm) {
  kvp_step* step = nullptr;
  ASSERT_EQ(engine_.Begin(sequence_, kPageTokens, &step), KVP_OK);
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  daemon_->Kill();
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_UNAVAILABLE);
  ExpectUnavailable();
  ExpectWarm();
}

TEST_F(Restart, AnEngineThatWaitsForAStepIsWokenAndGoesOnWarm) {
  daemon_->process().Signal(SIGSTOP);
  kvp_step* step = nullptr;
  ASSERT_EQ(engine_.Begin(sequence_, kPageTokens, &step), KVP_OK);
  std::thread killer([this] { daemon_->Kill(); });
  EXPECT_EQ(kvp_step_wait(step, kLongUs), KVP_UNAVAILABLE);
  killer.join();
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_UNAVAILABLE);
  ExpectUnavailable();
  ExpectWarm();
}

TEST_F(Restart, AnEngineWhoseDaemonHangsIsToldBeforeItsTimeIsOver) {
  daemon_->process().Signal(SIGSTOP);
  kvp_step* step = nullptr;
  ASSERT_EQ(engine_.Begin(sequence_, kPageTokens, &step), KVP_OK);
  EXPECT_EQ(kvp_step_wait(step, kLongUs), KVP_UNAVAILABLE) << "its loop has not turned for 10 s";
  EXPECT_NE(std::string(kvp_client_error(engine_.client())).find("hangs or is stopped"),
            std::string::npos);
  daemon_->Kill();
  EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_UNAVAILABLE);
  ExpectWarm();
}

}  // namespace
}  // namespace kvpager::e2e
