#include "memmgr/core/lru_policy.h"

#include <cstdint>
#include <vector>

#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr Tier kTiers[] = {Tier::kHbm, Tier::kHost, Tier::kNvme};

// How far the nearest neighbour in a tier is looked for. What leaves a tier leaves in the order of
// use, so the block that left before is next to it nearly always; a place a little off is no harm.
constexpr int kSearchMax = 256;

}  // namespace

LruPolicy::LruPolicy(uint32_t blocks_max) {
  for (List& tier : tiers_) tier.links.resize(blocks_max);
  all_.links.resize(blocks_max);
}

void LruPolicy::Track(Tier tier, BlockIndex block) {
  KVP_CHECK(!list(tier).link(block).linked);
  if (!all_.link(block).linked) all_.Insert(block, all_.warmest);
  list(tier).Insert(block, NearestColder(tier, block));
  if (TrackedBelow(tier, block)) Touch(block);
}

void LruPolicy::Forget(Tier tier, BlockIndex block) {
  KVP_CHECK(list(tier).link(block).linked);
  list(tier).Remove(block);
  for (const List& other : tiers_) {
    if (other.link(block).linked) return;
  }
  all_.Remove(block);
}

void LruPolicy::Touch(BlockIndex block) {
  for (List& tier : tiers_) {
    if (!tier.link(block).linked) continue;
    tier.Remove(block);
    tier.Insert(block, tier.warmest);
  }
  if (!all_.link(block).linked) return;
  all_.Remove(block);
  all_.Insert(block, all_.warmest);
}

void LruPolicy::Cool(BlockIndex block) {
  for (List& tier : tiers_) {
    if (!tier.link(block).linked) continue;
    tier.Remove(block);
    tier.Insert(block, BlockIndex{});
  }
  if (!all_.link(block).linked) return;
  all_.Remove(block);
  all_.Insert(block, BlockIndex{});
}

BlockIndex LruPolicy::Coldest(Tier tier) const { return list(tier).coldest; }

BlockIndex LruPolicy::Warmer(Tier tier, BlockIndex block) const {
  return list(tier).link(block).warmer;
}

BlockIndex LruPolicy::Sweep(Tier tier) {
  List& swept = list(tier);
  const BlockIndex block = swept.sweep;
  swept.sweep = block.is_none() ? swept.coldest : swept.link(block).warmer;
  return block;
}

void LruPolicy::RestartSweep(Tier tier) { list(tier).sweep = list(tier).coldest; }

bool LruPolicy::TrackedBelow(Tier tier, BlockIndex block) const {
  for (Tier other : kTiers) {
    if (other > tier && list(other).link(block).linked) return true;
  }
  return false;
}

// The warmest block of the tier among those used before `block`; none if there is none.
BlockIndex LruPolicy::NearestColder(Tier tier, BlockIndex block) const {
  const List& wanted = list(tier);
  BlockIndex colder = all_.link(block).colder;
  BlockIndex warmer = all_.link(block).warmer;
  for (int i = 0; i < kSearchMax; ++i) {
    if (colder.is_none()) return {};
    if (wanted.link(colder).linked) return colder;
    if (warmer.is_none()) return wanted.warmest;
    if (wanted.link(warmer).linked) return wanted.link(warmer).colder;
    colder = all_.link(colder).colder;
    warmer = all_.link(warmer).warmer;
  }
  return wanted.warmest;
}

void LruPolicy::List::Insert(BlockIndex block, BlockIndex colder) {
  Link& row = link(block);
  row.linked = true;
  row.colder = colder;
  row.warmer = colder.is_none() ? coldest : link(colder).warmer;
  (colder.is_none() ? coldest : link(colder).warmer) = block;
  (row.warmer.is_none() ? warmest : link(row.warmer).colder) = block;
}

void LruPolicy::List::Remove(BlockIndex block) {
  Link& row = link(block);
  row.linked = false;
  if (sweep == block) sweep = row.warmer;
  (row.colder.is_none() ? coldest : link(row.colder).warmer) = row.warmer;
  (row.warmer.is_none() ? warmest : link(row.warmer).colder) = row.colder;
}

}  // namespace kvpager
