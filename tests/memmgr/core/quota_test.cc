// Proves quotas of namespaces, in every tier: nobody has more than the maximum, nobody takes what
// is guaranteed to another, who cannot fit is told, and who waits for its own keeps nobody waiting.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "memmgr/core/limits.h"
#include "tests/memmgr/core/served_core.h"
#include "tests/testing/random.h"

namespace kvpager {
namespace {

constexpr ClientId kFirst{0};   // Of namespace 0.
constexpr ClientId kSecond{1};  // Of namespace 1.
constexpr Tier kTiers[] = {Tier::kHbm, Tier::kHost, Tier::kNvme};

PoolOptions Options() {
  PoolOptions options;
  options.page_tokens = kPageTokens;
  options.blocks_hbm = 10;
  options.blocks_host = 20;
  options.clients_max = 4;
  options.namespaces_max = 3;
  options.admission = Admission::kAlways;
  options.free_hbm = options.clean_hbm = options.free_host = options.clean_host = {0, 0};
  options.quotas.resize(2);
  return options;
}

// With both clients attached.
class Served : public ServedCore {
 public:
  explicit Served(const PoolOptions& options) : ServedCore(options) {
    Feed(kFirst, AttachCommand{NamespaceId{0}});
    Feed(kSecond, AttachCommand{NamespaceId{1}});
  }
};

TEST(Quota, AStepAboveTheMaximumIsRefusedWithTheNumbersAndNothingHasChanged) {
  PoolOptions options = Options();
  options.quotas[0].tiers[0].max = 4;
  Served core(options);
  const SequenceId sequence = core.Open(kFirst);
  EXPECT_FALSE(core.Step(kFirst, sequence, 5));
  ASSERT_TRUE(core.answered(kFirst));
  const Reply& refused = core.reply(kFirst);
  EXPECT_EQ(refused.status, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.quota.limit, QuotaLimit::kMaximum);
  EXPECT_EQ(refused.quota.tier, Tier::kHbm);
  EXPECT_EQ(refused.quota.quota_pages, 4u);
  EXPECT_EQ(refused.quota.needed_pages, 5u);
  EXPECT_EQ(core.used(0, Tier::kHbm), 0u);
  EXPECT_TRUE(core.Step(kFirst, sequence, 4));
  EXPECT_EQ(core.used(0, Tier::kHbm), 4u);
}

TEST(Quota, ANamespaceAtItsMaximumMakesRoomFromItsOwnPagesAlthoughFramesAreFree) {
  PoolOptions options = Options();
  options.quotas[0].tiers[0].max = 4;
  Served core(options);
  const SequenceId other = core.Open(kSecond);
  ASSERT_TRUE(core.Step(kSecond, other, 3));
  for (int i = 0; i < 3; ++i) {
    const SequenceId sequence = core.Open(kFirst);
    EXPECT_TRUE(core.Step(kFirst, sequence, 3)) << i;
    EXPECT_LE(core.used(0, Tier::kHbm), 4u);
  }
  EXPECT_EQ(core.used(1, Tier::kHbm), 3u);  // 3 frames were free all the time.
  EXPECT_EQ(core.used(0, Tier::kHost), 5u);
}

TEST(Quota, NobodyTakesWhatIsGuaranteed) {
  PoolOptions options = Options();
  options.quotas[0].tiers[0].guaranteed = 4;
  Served core(options);
  const SequenceId quiet = core.Open(kFirst);
  ASSERT_TRUE(core.Step(kFirst, quiet, 6));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(core.Step(kSecond, core.Open(kSecond), 3)) << i;
  EXPECT_EQ(core.used(0, Tier::kHbm), 4u);  // 2 more than guaranteed have gone, and no more.
  EXPECT_TRUE(core.Step(kSecond, core.Open(kSecond), 6));
  EXPECT_FALSE(core.Step(kSecond, core.Open(kSecond), 7));
  EXPECT_EQ(core.reply(kSecond).quota.limit, QuotaLimit::kGuarantees);
  EXPECT_EQ(core.reply(kSecond).quota.needed_pages, 7u);
  EXPECT_EQ(core.used(0, Tier::kHbm), 4u);
}

TEST(Quota, WhoIsBelowItsGuaranteeTakesFromThoseAbove) {
  PoolOptions options = Options();
  options.quotas[0].tiers[0].guaranteed = 6;
  Served core(options);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(core.Step(kSecond, core.Open(kSecond), 5)) << i;
  EXPECT_EQ(core.used(1, Tier::kHbm), 10u);
  ASSERT_TRUE(core.Step(kFirst, core.Open(kFirst), 6));
  EXPECT_EQ(core.used(0, Tier::kHbm), 6u);
}

TEST(Quota, AStepThatWaitsForItsOwnNamespaceKeepsNobodyWaiting) {
  PoolOptions options = Options();
  options.quotas[0].tiers[0].max = 5;
  Served core(options);
  const SequenceId runs = core.Open(kFirst);
  core.Begin(kFirst, runs, 3);  // Runs, and has not ended.
  ASSERT_TRUE(core.answered(kFirst));
  core.Begin(kFirst, core.Open(kFirst), 4);  // 3 + 4 are more than 5: it waits for the other.
  EXPECT_FALSE(core.answered(kFirst));
  EXPECT_TRUE(core.Step(kSecond, core.Open(kSecond), 6));
  EXPECT_FALSE(core.answered(kFirst));
  core.End(kFirst);
  ASSERT_TRUE(core.answered(kFirst));
  EXPECT_EQ(core.reply(kFirst).status, absl::StatusCode::kOk);
}

TEST(Quota, SwapsGoThroughTheLastHostFrameOfTheMaximum) {
  PoolOptions options = Options();
  options.quotas[0].tiers[0].max = 3;
  options.quotas[0].tiers[1].max = 4;
  Served core(options);
  const SequenceId first = core.Open(kFirst);
  ASSERT_TRUE(core.Step(kFirst, first, 3));
  const SequenceId second = core.Open(kFirst);
  ASSERT_TRUE(core.Step(kFirst, second, 3));  // 3 + 3 blocks in 3 + 3 frames.
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(core.Step(kFirst, first, 0)) << i;
    EXPECT_TRUE(core.Step(kFirst, second, 0)) << i;
    EXPECT_LE(core.used(0, Tier::kHost), 3u);
  }
  EXPECT_FALSE(core.Step(kFirst, core.Open(kFirst), 2));  // Where should they go?
  EXPECT_EQ(core.reply(kFirst).quota.limit, QuotaLimit::kMaximum);
}

TEST(Quota, OptionsThatContradictEachOtherAreRefusedWithTheNamespace) {
  const auto problem = [](const PoolOptions& options) {
    return std::string(DeriveLimits(options).status().message());
  };
  PoolOptions options = Options();
  options.quota_names = {"acme", "beta"};
  EXPECT_EQ(problem(options), "");
  options.quotas[0].tiers[0].guaranteed = 6;
  options.quotas[1].tiers[0].guaranteed = 5;
  EXPECT_NE(problem(options).find("guaranteed 11 pages of hbm together, and it has 10"),
            std::string::npos);
  options.quotas[1].tiers[0] = {5, 4};
  EXPECT_NE(problem(options).find("\"beta\": hbm.guaranteed is 5 pages, more than hbm.max = 4"),
            std::string::npos);
  options.quotas[1].tiers[0] = {0, 0};
  EXPECT_NE(problem(options).find("\"beta\": hbm.max is 0 pages"), std::string::npos);
  options.quotas[1] = {.tiers = {}, .share = 0};
  EXPECT_NE(problem(options).find("share = 0"), std::string::npos);
}

// A quiet namespace with a guarantee in every tier, and a greedy one with open, named and closed
// sequences of all sizes: the quiet one keeps its guarantee, the greedy one its maximum.
TEST(Quota, AGreedyNamespaceTakesNothingThatIsGuaranteedInAnyTier) {
  uint32_t below_full = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    testing::Random random(seed);
    PoolOptions options = Options();
    options.num_groups = static_cast<uint32_t>(random.Between(1, 3));
    options.blocks_nvme = static_cast<uint32_t>(random.Between(8, 30));
    if (random.Chance(500)) options.free_hbm = options.free_host = {100, 200};
    if (random.Chance(500)) options.clean_hbm = options.clean_host = {300, 600};
    const uint32_t frames[] = {10 * options.num_groups, 20 * options.num_groups,
                               options.blocks_nvme * options.num_groups};
    for (size_t tier = 0; tier < kTierCount; ++tier) {
      options.quotas[0].tiers[tier].guaranteed =
          static_cast<uint32_t>(random.Below(frames[tier] / 2));
      options.quotas[1].tiers[tier].max =
          static_cast<uint32_t>(random.Between(frames[tier] / 2, frames[tier]));
    }
    Served core(options);
    std::vector<SequenceId> quiet;
    for (uint64_t i = 1; i <= 8; ++i) {
      quiet.push_back(core.Open(kFirst));
      if (!core.Step(kFirst, quiet.back(), 3)) continue;
      const std::vector<BlockKey> keys = {{{i, 1}}, {{i, 2}}, {{i, 3}}};
      core.Feed(kFirst, NameCommand{.sequence = quiet.back(), .keys = keys});
    }
    std::array<uint32_t, kTierCount> floor{};
    for (Tier tier : kTiers) {
      floor[TierIndex(tier)] =
          std::min(core.used(0, tier), options.quotas[0].tiers[TierIndex(tier)].guaranteed);
    }
    for (uint64_t i = 100; i < 160; ++i) {
      const SequenceId sequence = core.Open(kSecond);
      const bool ready = core.Step(kSecond, sequence, static_cast<uint32_t>(random.Between(1, 4)));
      const std::vector<BlockKey> keys = {{{i, 1}}};
      if (ready) core.Feed(kSecond, NameCommand{.sequence = sequence, .keys = keys});
      if (random.Chance(800)) core.Feed(kSecond, CloseCommand{.sequence = sequence});
      for (Tier tier : kTiers) {
        ASSERT_GE(core.used(0, tier), floor[TierIndex(tier)])
            << "seed " << seed << " tier " << TierIndex(tier);
        ASSERT_LE(core.used(1, tier), options.quotas[1].tiers[TierIndex(tier)].max);
      }
    }
    for (Tier tier : kTiers) below_full += core.used(0, tier) == floor[TierIndex(tier)];
  }
  EXPECT_GT(below_full, 10u);  // It did come to that.
}

}  // namespace
}  // namespace kvpager
