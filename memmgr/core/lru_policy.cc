#include "memmgr/core/lru_policy.h"

#include <cstdint>
#include <vector>

#include "memmgr/base/check.h"

namespace kvpager {

constexpr Tier kTiers[] = {Tier::kHbm, Tier::kHost, Tier::kNvme};

LruPolicy::LruPolicy(uint32_t blocks_max) {
  for (std::vector<Link>& links : links_) links.resize(blocks_max);
}

void LruPolicy::Track(Tier tier, BlockIndex block) {
  KVP_CHECK(!link(tier, block).tracked);
  link(tier, block).tracked = true;
  LinkWarmest(tier, block);
}

void LruPolicy::Forget(Tier tier, BlockIndex block) {
  KVP_CHECK(link(tier, block).tracked);
  Unlink(tier, block);
  link(tier, block).tracked = false;
}

void LruPolicy::Touch(BlockIndex block) {
  for (Tier tier : kTiers) {
    if (!link(tier, block).tracked) continue;
    Unlink(tier, block);
    LinkWarmest(tier, block);
  }
}

void LruPolicy::Cool(BlockIndex block) {
  for (Tier tier : kTiers) {
    if (!link(tier, block).tracked) continue;
    Unlink(tier, block);
    LinkColdest(tier, block);
  }
}

BlockIndex LruPolicy::Coldest(Tier tier) const { return lists_[TierIndex(tier)].coldest; }

BlockIndex LruPolicy::Warmer(Tier tier, BlockIndex block) const {
  return links_[TierIndex(tier)][block.value].warmer;
}

BlockIndex LruPolicy::Sweep(Tier tier) {
  List& list = lists_[TierIndex(tier)];
  const BlockIndex block = list.sweep;
  list.sweep = block.is_none() ? list.coldest : link(tier, block).warmer;
  return block;
}

void LruPolicy::Unlink(Tier tier, BlockIndex block) {
  List& list = lists_[TierIndex(tier)];
  const Link& row = link(tier, block);
  if (list.sweep == block) list.sweep = row.warmer;
  if (row.colder.is_none()) {
    list.coldest = row.warmer;
  } else {
    link(tier, row.colder).warmer = row.warmer;
  }
  if (row.warmer.is_none()) {
    list.warmest = row.colder;
  } else {
    link(tier, row.warmer).colder = row.colder;
  }
}

void LruPolicy::LinkWarmest(Tier tier, BlockIndex block) {
  List& list = lists_[TierIndex(tier)];
  Link& row = link(tier, block);
  row.colder = list.warmest;
  row.warmer = BlockIndex{};
  if (list.warmest.is_none()) {
    list.coldest = block;
  } else {
    link(tier, list.warmest).warmer = block;
  }
  list.warmest = block;
}

void LruPolicy::LinkColdest(Tier tier, BlockIndex block) {
  List& list = lists_[TierIndex(tier)];
  Link& row = link(tier, block);
  row.warmer = list.coldest;
  row.colder = BlockIndex{};
  if (list.coldest.is_none()) {
    list.warmest = block;
  } else {
    link(tier, list.coldest).colder = block;
  }
  list.coldest = block;
}

}  // namespace kvpager
