#include "tests/sim/options.h"

#include <algorithm>

namespace kvpager::sim {
namespace {

using testing::Random;

void DrawSizes(Random& random, SimOptions& options) {
  PoolOptions& pool = options.setup.options;
  pool.page_tokens = static_cast<uint32_t>(random.Between(2, 4));
  pool.num_groups = random.Chance(500) ? 1 : static_cast<uint32_t>(random.Between(2, 4));
  const bool tiny = random.Chance(400);
  pool.blocks_hbm = static_cast<uint32_t>(tiny ? random.Between(2, 6) : random.Between(6, 24));
  pool.blocks_host = static_cast<uint32_t>(tiny ? random.Between(2, 4) : random.Between(3, 30));
  switch (random.Below(3)) {
    case 0:
      pool.blocks_nvme = 0;
      break;
    case 1:
      pool.blocks_nvme = static_cast<uint32_t>(random.Between(2, 10));
      break;
    default:
      pool.blocks_nvme = static_cast<uint32_t>(random.Between(20, 100));
  }
  pool.clients_max = 8;
  pool.namespaces_max = 4;
  pool.sequences_max = static_cast<uint32_t>(random.Between(6, 40));
  pool.steps_max = static_cast<uint32_t>(random.Between(4, 24));
  pool.admission = static_cast<Admission>(random.Below(3));
  pool.durable_permille = static_cast<uint32_t>(random.Between(200, 800));
  if (random.Chance(300)) {  // No stocks: every step that needs room makes it.
    pool.free_hbm = pool.clean_hbm = pool.free_host = pool.clean_host = Watermark{0, 0};
  }
  options.setup.blocks_max = pool.blocks_hbm + pool.blocks_host + pool.blocks_nvme + 128;
  if (random.Chance(300)) {  // R10 is met only where an input may do little.
    const uint32_t step_pages_max = (pool.blocks_hbm + 4) * pool.num_groups;
    options.setup.pages_per_input =
        step_pages_max / 2 + 32 + static_cast<uint32_t>(random.Below(64));
  }
  if (random.Chance(300)) options.setup.in_flight_max = static_cast<uint32_t>(random.Between(1, 4));
  if (random.Chance(200)) options.setup.deferred_max = static_cast<uint32_t>(random.Between(1, 4));
  if (random.Chance(200))
    options.setup.prefetches_max = static_cast<uint32_t>(random.Between(1, 3));
  if (random.Chance(200)) options.setup.evictions_max = static_cast<uint32_t>(random.Between(1, 3));
  if (random.Chance(200)) options.setup.split_steps_max = 1;
}

void DrawWorkload(Random& random, SimOptions& options) {
  const PoolOptions& pool = options.setup.options;
  options.engines = static_cast<uint32_t>(random.Between(1, 4));
  options.namespaces = static_cast<uint32_t>(random.Between(1, 3));
  options.lanes = static_cast<uint32_t>(random.Between(1, 3));
  options.sequences_per_engine = static_cast<uint32_t>(random.Between(1, 6));
  const uint64_t blocks_max = random.Between(1, pool.blocks_hbm + (random.Chance(100) ? 3 : 0));
  options.tokens_per_sequence_max =
      static_cast<uint32_t>((blocks_max < 10 ? blocks_max : 10) * pool.page_tokens);
  options.conversations = static_cast<uint32_t>(random.Between(1, 5));
  options.think_ns_max = random.Chance(500) ? 2'000 : 30'000;
  options.message_ns_max = random.Chance(500) ? 0 : 20'000;
  const auto sometimes = [&random](uint32_t permille_max) {
    return random.Chance(500) ? 0 : static_cast<uint32_t>(random.Between(1, permille_max));
  };
  options.partial_range_permille = sometimes(500);
  options.split_permille = sometimes(400);
  options.draft_permille = sometimes(300);
  options.message_free_permille = random.Chance(500) ? 1000 : sometimes(1000);
  options.durable_permille = sometimes(500);
  options.posted_permille = sometimes(500);
  constexpr std::array<uint32_t, kActionCount> kTypical = {12, 4, 60, 60, 2, 5, 6, 10,
                                                           16, 3, 6,  5,  3, 8, 2};
  for (size_t i = 0; i < kActionCount; ++i) {
    options.weights[i] =
        random.Chance(150) ? 0 : kTypical[i] * static_cast<uint32_t>(random.Between(1, 4));
  }
  for (Action needed : {Action::kOpen, Action::kBegin, Action::kEnd, Action::kClose,
                        Action::kResume, Action::kAccept}) {
    const size_t i = static_cast<size_t>(needed);
    if (options.weights[i] == 0) options.weights[i] = kTypical[i];
  }
}

void DrawSpeeds(Random& random, SimOptions& options) {
  for (ChannelSpeed& speed : options.speeds) {
    speed.latency_ns = random.Between(1, 20) * 1'000;
    speed.busy_ns = random.Between(1, 5) * 500;
  }
  for (Channel channel : {Channel::kHostToNvme, Channel::kNvmeToHost}) {
    ChannelSpeed& speed = options.speeds[ChannelIndex(channel)];
    speed.latency_ns = random.Between(1, 10) * 10'000;
    speed.busy_ns = random.Between(1, 8) * 2'000;
  }
}

void DrawFaults(Random& random, SimOptions& options) {
  const auto rate = [&random](uint64_t permille_max) {
    return random.Chance(650) ? 0 : static_cast<uint32_t>(random.Between(1, permille_max));
  };
  Faults& faults = options.faults;
  if (random.Chance(700)) {
    faults.copy_failed = rate(150);
    faults.nvme_corrupt = rate(150);
    faults.nvme_lost_write = rate(100);
    faults.host_corrupt = rate(30);
    faults.channel_slow = rate(20);
    faults.engine_dies = rate(8);
    faults.engine_hangs = rate(100);
    faults.restart = rate(6);
    faults.catalogue_full = rate(400);
    faults.catalogue_failed = rate(100);
  }
  if (random.Chance(300)) faults.engine_revoked = static_cast<uint32_t>(random.Between(1, 20));
  // A kernel that attends a host frame in place cannot see that a bit of it has flipped.
  if (options.split_permille > 0) faults.host_corrupt = 0;
  // Earns a block in 40 us of virtual time, or in 4 ms.
  if (random.Chance(250)) {
    options.setup.options.write_budget_blocks = random.Chance(500) ? 2'000'000'000 : 20'000'000;
  }
  options.clean_restarts = random.Chance(500);
  options.power_cuts = random.Chance(300);
}

// From dice of their own, as quotas.
void DrawCredits(SimOptions& options) {
  Random random(testing::Mix(options.seed, 0xc2ed17));
  PoolOptions& pool = options.setup.options;
  pool.credits_permille = random.Chance(300) ? 0 : static_cast<uint32_t>(random.Between(1, 500));
}

// Some namespaces have quotas in some worlds. Drawn from dice of their own, so that a world without
// is the same as before there were any.
void DrawQuotas(SimOptions& options) {
  Random random(testing::Mix(options.seed, 0x900a5));
  if (!random.Chance(500)) return;
  PoolOptions& pool = options.setup.options;
  const uint32_t blocks[] = {pool.blocks_hbm, pool.blocks_host, pool.blocks_nvme};
  const auto names = static_cast<uint32_t>(random.Between(1, options.namespaces));
  pool.quotas.resize(names);
  for (NamespaceQuota& quota : pool.quotas) {
    if (random.Chance(300)) quota.share = static_cast<uint32_t>(random.Between(1, 5));
  }
  for (size_t tier = 0; tier < kTierCount; ++tier) {
    const bool guarantees = random.Chance(600);
    const uint32_t max_permille = random.Chance(300) ? 0 : random.Chance(300) ? 1000 : 500;
    uint64_t left = uint64_t{blocks[tier]} * pool.num_groups;
    const uint64_t frames = left;
    const uint64_t least[] = {pool.num_groups, std::max(2u, pool.num_groups), 0};
    for (NamespaceQuota& quota : pool.quotas) {
      if (guarantees && random.Chance(700)) {
        quota.tiers[tier].guaranteed = static_cast<uint32_t>(random.Below(left + 1));
        left -= quota.tiers[tier].guaranteed;
      }
      if (!random.Chance(max_permille)) continue;
      const uint64_t from = std::max<uint64_t>(least[tier], quota.tiers[tier].guaranteed);
      quota.tiers[tier].max = static_cast<uint32_t>(random.Between(from, std::max(from, frames)));
    }
  }
}

// The same again.
void DrawNvmeLoss(SimOptions& options) {
  Random random(testing::Mix(options.seed, 0x105e));
  if (options.setup.options.blocks_nvme == 0 || !random.Chance(150)) return;
  options.faults.nvme_lost = static_cast<uint32_t>(random.Between(2, 12));
}

}  // namespace

SimOptions DrawOptions(uint64_t seed) {
  Random random(testing::Mix(seed, 0x0971055));
  SimOptions options;
  options.seed = seed;
  options.turns = random.Between(100, 500);
  DrawSizes(random, options);
  DrawWorkload(random, options);
  DrawSpeeds(random, options);
  DrawFaults(random, options);
  DrawQuotas(options);
  DrawCredits(options);
  DrawNvmeLoss(options);
  options.setup.options.incarnation = seed * 1000 + 1;
  return options;
}

}  // namespace kvpager::sim
