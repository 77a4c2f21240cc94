// Proves that steps and evictions of more pages than one pass looks at, or than one input may
// touch, go on by themselves, whatever else is or is not going on.

#include <gtest/gtest.h>

#include <algorithm>
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
    options.blocks_host = 10'000;
    options.blocks_nvme = 10'000;
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
        status_ = reply.status;
      }
      for (const CopyOp& copy : effects_.copies) running_.push_back(copy.op);
      for (const CatalogueWrite& write : effects_.catalogue_writes) {
        if (!write.op.is_none()) running_.push_back(write.op);
      }
      effects_.Clear();
      if (!running_.empty()) {  // The newest first: what a window waits for comes last.
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
  std::vector<OpId> running_;
  std::vector<absl::StatusCode> answers_;            // To steps.
  absl::StatusCode status_ = absl::StatusCode::kOk;  // Of the newest answer to anything.
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

TEST_P(LargeStep, EvictedPagesAllGoDown) {
  Feed(OpenCommand{});
  Begin(GetParam() * kPageTokens, 1);
  Feed(StepEndCommand{{0, 1}});
  Feed(EvictCommand{.sequence = opened_, .tier = Tier::kHost});
  EXPECT_EQ(status_, absl::StatusCode::kOk);
  EXPECT_EQ(core_->tier_info(Tier::kHbm).blocks, 0u);
  Begin(0, 2);
  EXPECT_EQ(answers_, std::vector<absl::StatusCode>(2, absl::StatusCode::kOk));
  core_->Verify();
}

// The second time there is nothing to do, for as many blocks.
TEST_P(LargeStep, BlocksThatAreDurableAlreadyCanBeNamedDurableAgain) {
  const uint32_t blocks = std::min(GetParam(), 200u);
  Feed(OpenCommand{});
  Begin(blocks * kPageTokens, 1);
  Feed(StepEndCommand{{0, 1}});
  std::vector<BlockKey> keys;
  for (uint32_t i = 0; i < blocks; ++i) keys.push_back(BlockKey{i + 1, 7});
  for (int time = 0; time < 2; ++time) {
    Feed(NameCommand{.sequence = opened_, .keys = keys, .durable = true});
    EXPECT_EQ(status_, absl::StatusCode::kOk) << time;
  }
  core_->Verify();
}

INSTANTIATE_TEST_SUITE_P(Pages, LargeStep,
                         ::testing::Values(1, 63, 64, 65, 200, 1023, 1024, 1025, 4095, 4096, 4097,
                                           8190));

}  // namespace
}  // namespace kvpager
