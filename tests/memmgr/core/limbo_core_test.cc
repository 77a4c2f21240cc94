// Proves that an engine which hangs inside an epoch keeps what was withdrawn from its own
// namespace, and nothing else: another engine's step finds room elsewhere.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "memmgr/core/core.h"
#include "memmgr/core/limits.h"

namespace kvpager {
namespace {

constexpr uint32_t kPageTokens = 4;
constexpr ClientId kHangs{0};
constexpr ClientId kServed{1};

class LimboInTheCore : public ::testing::Test {
 protected:
  LimboInTheCore() {
    PoolOptions options;
    options.page_tokens = kPageTokens;
    options.blocks_hbm = 6;
    options.blocks_host = 20;
    options.clients_max = 2;
    options.namespaces_max = 2;
    options.free_hbm = options.clean_hbm = options.free_host = options.clean_host = {0, 0};
    core_ = *Core::Create(*DeriveLimits(options));
    effects_ = core_->MakeEffects();
    Feed(kHangs, AttachCommand{NamespaceId{0}, true});
    Feed(kServed, AttachCommand{NamespaceId{1}, true});
  }

  template <typename Body>
  void Feed(ClientId client, const Body& body) {
    core_->Step(now_, {.client = client, .request = ++requests_, .body = body}, effects_);
    Execute();
  }

  // Copies are done at once; lanes say what they say.
  void Execute() {
    while (true) {
      for (const Reply& reply : effects_.replies) {
        if (reply.kind == ReplyKind::kStepReady) ready_ = reply.status == absl::StatusCode::kOk;
        if (!reply.sequence.is_none()) opened_ = reply.sequence;
      }
      for (const CopyOp& copy : effects_.copies) running_.push_back(copy.op);
      effects_.Clear();
      core_->Verify();
      if (core_->has_unstamped_frames()) {
        core_->NoteLanes(kHangs, hanging_);
        core_->PassLimbo(now_, effects_);
      } else if (!running_.empty()) {
        const OpId op = running_.back();
        running_.pop_back();
        core_->Complete(now_, {.op = op, .outcome = Outcome::kOk}, effects_);
      } else if (core_->has_work()) {
        core_->Tick(now_, effects_);
      } else {
        return;
      }
    }
  }

  SequenceId Open(ClientId client) {
    Feed(client, OpenCommand{});
    return opened_;
  }

  // Whether the step is ready.
  bool Append(ClientId client, SequenceId sequence, uint32_t blocks, uint64_t number) {
    StepEntry entry;
    entry.sequence = sequence;
    entry.append_tokens = blocks * kPageTokens;
    const std::vector<StepEntry> entries = {entry};
    ready_ = false;
    Feed(client, StepBeginCommand{.ticket = {0, number}, .entries = entries});
    return ready_;
  }

  Instant now_{1};
  LaneCounters hanging_;
  std::unique_ptr<Core> core_;
  Effects effects_;
  std::vector<OpId> running_;
  uint64_t requests_ = 0;
  bool ready_ = false;
  SequenceId opened_;
};

TEST_F(LimboInTheCore, AnEngineThatHangsDoesNotStarveAnother) {
  const SequenceId hanging = Open(kHangs);
  ASSERT_TRUE(Append(kHangs, hanging, 2, 1));
  Feed(kHangs, StepEndCommand{{0, 1}});
  const SequenceId idle = Open(kServed);
  ASSERT_TRUE(Append(kServed, idle, 2, 1));
  Feed(kServed, StepEndCommand{{0, 1}});
  hanging_.begun[1] = 7;  // And never ends.

  // Two frames are free. The coldest two pages are the hanging engine's, and go to limbo for good;
  // the next two can leave at once.
  const SequenceId wanting = Open(kServed);
  Append(kServed, wanting, 4, 2);
  for (int i = 0; i < 10 && !ready_; ++i) {
    now_.ns += 10'000'000;
    core_->NoteLanes(kHangs, hanging_);
    core_->PassLimbo(now_, effects_);
    Execute();
  }
  EXPECT_TRUE(ready_);
  EXPECT_EQ(core_->limbo_frames(), 2u);

  hanging_.done[1] = 7;
  core_->NoteLanes(kHangs, hanging_);
  core_->PassLimbo(now_, effects_);
  Execute();
  EXPECT_EQ(core_->limbo_frames(), 0u);
}

// What the engine hangs on is the very page that it asks for next.
TEST_F(LimboInTheCore, AFaultTakesAPageBackWithoutACopy) {
  const SequenceId hanging = Open(kHangs);
  ASSERT_TRUE(Append(kHangs, hanging, 2, 1));
  Feed(kHangs, StepEndCommand{{0, 1}});
  hanging_.begun[1] = 7;
  const SequenceId wanting = Open(kServed);
  ASSERT_TRUE(Append(kServed, wanting, 4, 1));
  Feed(kHangs, EvictCommand{hanging, Tier::kHost});
  ASSERT_EQ(core_->limbo_frames(), 2u);
  ASSERT_EQ(core_->tier_info(Tier::kHbm).frames_free, 0u);

  ASSERT_TRUE(Append(kHangs, hanging, 0, 2));
  EXPECT_EQ(core_->limbo_frames(), 0u);
  EXPECT_EQ(core_->metrics().taken_back_pages, 2u);
  EXPECT_EQ(core_->metrics().copies_started[ChannelIndex(Channel::kHostToHbm)], 0u);
}

TEST_F(LimboInTheCore, AFrameThatHasPassedIsNotTakenBack) {
  const SequenceId hanging = Open(kHangs);
  ASSERT_TRUE(Append(kHangs, hanging, 2, 1));
  Feed(kHangs, StepEndCommand{{0, 1}});
  Feed(kHangs, EvictCommand{hanging, Tier::kHost});
  ASSERT_EQ(core_->limbo_frames(), 0u);
  ASSERT_TRUE(Append(kHangs, hanging, 0, 2));
  EXPECT_EQ(core_->metrics().taken_back_pages, 0u);
  EXPECT_EQ(core_->metrics().copies_started[ChannelIndex(Channel::kHostToHbm)], 2u);
}

}  // namespace
}  // namespace kvpager
