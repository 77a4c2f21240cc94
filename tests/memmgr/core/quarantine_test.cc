// That of a revoked engine only what it could write is kept, until it is gone: this test proves it
// for frames in limbo, where transcripts do not reach; the simulator for everything together.

#include "memmgr/core/quarantine.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "memmgr/core/core.h"

namespace kvpager {
namespace {

constexpr uint32_t kPageTokens = 4;
constexpr ClientId kRevoked{0};
constexpr ClientId kOther{1};

TEST(Quarantine, KeepsFramesByEngineUntilItEnds) {
  Quarantine quarantine(8, 2);
  EXPECT_FALSE(quarantine.keeps(ClientId{}));
  EXPECT_FALSE(quarantine.keeps(kRevoked));
  quarantine.Begin(kRevoked);
  quarantine.Begin(kOther);
  quarantine.Add(kRevoked, FrameIndex{3}, NamespaceId{0});
  quarantine.Add(kOther, FrameIndex{5}, NamespaceId{1});
  quarantine.Add(kRevoked, FrameIndex{7}, NamespaceId{0});
  EXPECT_EQ(quarantine.count(), 3u);
  EXPECT_EQ(quarantine.count_of(kRevoked), 2u);
  uint32_t sum = 0;
  quarantine.End(kRevoked, [&sum](FrameIndex frame, NamespaceId) { sum += frame.value; });
  EXPECT_EQ(sum, 10u);
  EXPECT_EQ(quarantine.count(), 1u);
  EXPECT_FALSE(quarantine.keeps(kRevoked));
  EXPECT_TRUE(quarantine.keeps(kOther));
}

class Revoke : public ::testing::Test {
 protected:
  Revoke() {
    PoolOptions options;
    options.page_tokens = kPageTokens;
    options.blocks_hbm = 6;
    options.blocks_host = 20;
    options.clients_max = 2;
    options.namespaces_max = 2;
    options.free_hbm = options.clean_hbm = options.free_host = options.clean_host = {0, 0};
    core_ = *Core::Create(*DeriveLimits(options));
    effects_ = core_->MakeEffects();
    Feed(kRevoked, AttachCommand{NamespaceId{0}, true});
    Feed(kOther, AttachCommand{NamespaceId{0}, true});
  }

  template <typename Body>
  void Feed(ClientId client, const Body& body) {
    core_->Step(Instant{1}, {.client = client, .request = 1, .body = body}, effects_);
    Execute();
  }

  void Execute() {
    for (const Reply& reply : effects_.replies) {
      replies_.push_back(reply.kind);
      if (!reply.sequence.is_none()) opened_ = reply.sequence;
    }
    for (const CopyOp& copy : effects_.copies) running_.push_back(copy.op);
    effects_.Clear();
    core_->Verify();
    if (core_->has_unstamped_frames()) return PassLimbo();
    if (running_.empty()) return;
    const OpId op = running_.back();
    running_.pop_back();
    core_->Complete(Instant{1}, {.op = op, .outcome = outcome_}, effects_);
    Execute();
  }

  void PassLimbo() {
    core_->NoteLanes(kRevoked, revoked_);
    core_->NoteLanes(kOther, other_);
    core_->PassLimbo(Instant{1}, effects_);
    Execute();
  }

  // A sequence with a full block and a partial tail; its step has ended.
  void OpenOne() {
    Feed(kRevoked, OpenCommand{});
    StepEntry entry;
    entry.sequence = opened_;
    entry.append_tokens = kPageTokens + 1;
    const std::vector<StepEntry> entries = {entry};
    Feed(kRevoked, StepBeginCommand{.ticket = {0, 1}, .entries = entries});
    Feed(kRevoked, StepEndCommand{{0, 1}});
    ASSERT_EQ(Free(), 4u);
  }

  void MoveDown(SequenceId sequence) {
    const uint64_t done = revoked_.done[0];
    revoked_.done[0] = revoked_.begun[0];  // For a moment.
    Feed(kRevoked, EvictCommand{sequence, Tier::kHost});
    revoked_.done[0] = done;
    ASSERT_EQ(core_->limbo_frames(), 0u);
  }

  uint64_t Free() const { return core_->tier_info(Tier::kHbm).frames_free; }
  bool Heard(ReplyKind kind) const { return replies_.back() == kind; }

  std::unique_ptr<Core> core_;
  Effects effects_;
  LaneCounters revoked_;
  LaneCounters other_;
  std::vector<ReplyKind> replies_;
  SequenceId opened_;
  std::vector<OpId> running_;
  Outcome outcome_ = Outcome::kOk;
};

TEST_F(Revoke, NobodyWaitsForItsLanesAndItsTailIsKept) {
  OpenOne();
  revoked_.begun[0] = 2;  // And never ends.
  Feed(kRevoked, RevokeCommand{});
  EXPECT_TRUE(Heard(ReplyKind::kClientRevoked));
  EXPECT_EQ(core_->limbo_frames(), 0u);
  EXPECT_EQ(core_->quarantined_frames(), 1u);
  EXPECT_EQ(core_->holdings_of(kRevoked).frames_quarantined, 1u);
  EXPECT_EQ(Free(), 5u);
  Feed(kRevoked, GoneCommand{});
  EXPECT_TRUE(Heard(ReplyKind::kClientReleased));
  EXPECT_EQ(core_->quarantined_frames(), 0u);
  EXPECT_EQ(Free(), 6u);
}

// A loss waits for no ticket: it takes the tail although a step may be writing it.
TEST_F(Revoke, WhatALossTookFromAStepThatStillRunsIsKeptToo) {
  OpenOne();
  revoked_.begun[0] = 2;
  MoveDown(opened_);
  other_.begun[3] = 1;
  outcome_ = Outcome::kCorrupt;
  Feed(kRevoked, PrefetchCommand{.sequence = opened_, .deadline = Instant{2}});
  ASSERT_EQ(core_->limbo_frames(), 1u) << "the tail";
  EXPECT_EQ(core_->holdings_of(kRevoked).frames_limbo, 1u);
  Feed(kRevoked, RevokeCommand{});
  EXPECT_EQ(core_->limbo_frames(), 1u) << "the other engine may read it, for all the core knows";
  other_.done[3] = 1;
  PassLimbo();
  EXPECT_EQ(core_->limbo_frames(), 0u);
  EXPECT_EQ(core_->quarantined_frames(), 1u);
  EXPECT_EQ(Free(), 5u);
}

TEST_F(Revoke, ItsStepsAreSeenUntilThen) {
  OpenOne();
  StepEntry entry;
  entry.sequence = opened_;
  const std::vector<StepEntry> entries = {entry};
  Feed(kRevoked, StepBeginCommand{.ticket = {2, 7}, .entries = entries});
  Feed(kRevoked, StepBeginCommand{.ticket = {2, 9}, .entries = entries});
  const StepsInfo steps = core_->steps_of(kRevoked);
  EXPECT_EQ(steps.ready, 2u);
  EXPECT_EQ(steps.waiting, 0u);
  EXPECT_EQ(steps.ready_oldest[2], 7u);
  EXPECT_EQ(steps.ready_oldest[0], 0u);
  EXPECT_EQ(core_->holdings_of(kRevoked).pages_pinned, 4u);
  Feed(kRevoked, RevokeCommand{});
  EXPECT_EQ(core_->steps_of(kRevoked).ready, 0u);
  EXPECT_EQ(core_->tier_info(Tier::kHbm).pages_pinned, 0u);
}

}  // namespace
}  // namespace kvpager
