// Proves that a step of more pages than one pass looks at, or than one input may touch, becomes
// ready by itself, whatever else is or is not going on.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "memmgr/core/core.h"
#include "memmgr/core/limits.h"

namespace kvpager {
namespace {

constexpr uint32_t kPageTokens = 4;
constexpr ClientId kEngine{0};

class LargeStep : public ::testing::TestWithParam<uint32_t> {
 protected:
  LargeStep() {
    PoolOptions options;
    options.page_tokens = kPageTokens;
    options.blocks_hbm = 16'000;
    options.blocks_host = 20;
    core_ = *Core::Create(*DeriveLimits(options));
    effects_ = core_->MakeEffects();
    Feed(AttachCommand{NamespaceId{0}, false});
  }

  template <typename Body>
  void Feed(const Body& body) {
    core_->Step(now_, {.client = kEngine, .request = ++requests_, .body = body}, effects_);
    while (true) {
      for (const Reply& reply : effects_.replies) {
        if (reply.kind == ReplyKind::kStepReady) answers_.push_back(reply.status);
        if (!reply.sequence.is_none()) opened_ = reply.sequence;
      }
      effects_.Clear();
      if (!core_->has_work()) return;
      core_->Tick(now_, effects_);
    }
  }

  void Begin(uint32_t append_tokens, uint64_t number) {
    StepEntry entry;
    entry.sequence = opened_;
    entry.append_tokens = append_tokens;
    const std::vector<StepEntry> entries = {entry};
    Feed(StepBeginCommand{.ticket = {0, number}, .entries = entries});
  }

  Instant now_{1};
  std::unique_ptr<Core> core_;
  Effects effects_;
  uint64_t requests_ = 0;
  SequenceId opened_;
  std::vector<absl::StatusCode> answers_;
};

TEST_P(LargeStep, OfNewPagesAndThenOfResidentOnesIsReadyWithNothingInFlight) {
  Feed(OpenCommand{});
  Begin(GetParam() * kPageTokens, 1);
  Feed(StepEndCommand{{0, 1}});
  Begin(0, 2);
  Feed(StepEndCommand{{0, 2}});
  EXPECT_EQ(answers_, std::vector<absl::StatusCode>(2, absl::StatusCode::kOk));
  core_->Verify();
}

INSTANTIATE_TEST_SUITE_P(Pages, LargeStep,
                         ::testing::Values(1, 1023, 1024, 1025, 4095, 4096, 4097, 8190));

}  // namespace
}  // namespace kvpager
