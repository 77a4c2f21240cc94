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

LruPolicy::LruPolicy(uint32_t blocks_max, uint32_t classes) {
  for (List& tier : tiers_) tier.links.resize(blocks_max);
  all_.links.resize(blocks_max);
  if (classes <= 1) return;
  KVP_CHECK_LE(classes, 256u);
  for (ClassLists& tier : classes_) {
    tier.links.resize(blocks_max);
    tier.ends.resize(classes);
  }
  class_of_.resize(blocks_max);
  order_.resize(blocks_max);
}

void LruPolicy::Assign(BlockIndex block, uint32_t quota_class) {
  if (!has_classes() || class_of_[block.value] == quota_class) return;
  for (Tier tier : kTiers) {
    if (list(tier).link(block).linked) TakeFromClass(tier, block);
  }
  class_of_[block.value] = static_cast<uint8_t>(quota_class);
  for (Tier tier : kTiers) {
    if (list(tier).link(block).linked) PlaceInClass(tier, block);
  }
}

void LruPolicy::PlaceInClass(Tier tier, BlockIndex block) {
  if (!has_classes()) return;
  const BlockIndex colder = NearestColderOf(tier, block);
  Insert(classes_[TierIndex(tier)].links, class_ends(tier, block), block, colder);
}

void LruPolicy::TakeFromClass(Tier tier, BlockIndex block) {
  if (!has_classes()) return;
  Remove(classes_[TierIndex(tier)].links, class_ends(tier, block), block);
}

void LruPolicy::Track(Tier tier, BlockIndex block) {
  KVP_CHECK(!list(tier).link(block).linked);
  if (!all_.link(block).linked) {
    all_.Insert(block, all_.warmest);
    if (has_classes()) order_[block.value] = ++warmest_order_;
  }
  list(tier).Insert(block, NearestColder(tier, block));
  PlaceInClass(tier, block);
  if (TrackedBelow(tier, block)) Touch(block);
}

void LruPolicy::Forget(Tier tier, BlockIndex block) {
  KVP_CHECK(list(tier).link(block).linked);
  list(tier).Remove(block);
  TakeFromClass(tier, block);
  for (const List& other : tiers_) {
    if (other.link(block).linked) return;
  }
  all_.Remove(block);
}

// To one end of every list that has it.
void LruPolicy::Move(BlockIndex block, End end) {
  const bool warmest = end == End::kWarmest;
  const bool linked = all_.link(block).linked;
  if (linked && has_classes()) {
    order_[block.value] = warmest ? ++warmest_order_ : --coldest_order_;
  }
  for (Tier tier : kTiers) {
    List& moved = list(tier);
    if (!moved.link(block).linked) continue;
    moved.Remove(block);
    moved.Insert(block, warmest ? moved.warmest : BlockIndex{});
    if (!has_classes()) continue;
    TakeFromClass(tier, block);
    Ends& ends = class_ends(tier, block);
    Insert(classes_[TierIndex(tier)].links, ends, block, warmest ? ends.warmest : BlockIndex{});
  }
  if (!linked) return;
  all_.Remove(block);
  all_.Insert(block, warmest ? all_.warmest : BlockIndex{});
}

void LruPolicy::Touch(BlockIndex block) { Move(block, End::kWarmest); }

void LruPolicy::Cool(BlockIndex block) { Move(block, End::kColdest); }

BlockIndex LruPolicy::ColdestOf(Tier tier, uint32_t quota_class) const {
  if (!has_classes()) return Coldest(tier);
  return classes_[TierIndex(tier)].ends[quota_class].coldest;
}

BlockIndex LruPolicy::WarmerOf(Tier tier, BlockIndex block) const {
  if (!has_classes()) return Warmer(tier, block);
  return classes_[TierIndex(tier)].links[block.value].warmer;
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

// The same within the block's class: from both ends of its list, by order.
BlockIndex LruPolicy::NearestColderOf(Tier tier, BlockIndex block) const {
  const ClassLists& lists = classes_[TierIndex(tier)];
  const Ends& ends = lists.ends[class_of_[block.value]];
  const int64_t order = order_[block.value];
  BlockIndex cold = ends.coldest;
  BlockIndex warm = ends.warmest;
  for (int i = 0; i < kSearchMax && !warm.is_none(); ++i) {
    if (order_[warm.value] < order) return warm;
    if (order_[cold.value] > order) return lists.links[cold.value].colder;
    warm = lists.links[warm.value].colder;
    cold = lists.links[cold.value].warmer;
  }
  return warm.is_none() ? BlockIndex{} : ends.warmest;
}

void LruPolicy::Insert(Links& links, Ends& ends, BlockIndex block, BlockIndex colder) {
  Link& row = links[block.value];
  row.linked = true;
  row.colder = colder;
  row.warmer = colder.is_none() ? ends.coldest : links[colder.value].warmer;
  (colder.is_none() ? ends.coldest : links[colder.value].warmer) = block;
  (row.warmer.is_none() ? ends.warmest : links[row.warmer.value].colder) = block;
}

void LruPolicy::Remove(Links& links, Ends& ends, BlockIndex block) {
  Link& row = links[block.value];
  (row.colder.is_none() ? ends.coldest : links[row.colder.value].warmer) = row.warmer;
  (row.warmer.is_none() ? ends.warmest : links[row.warmer.value].colder) = row.colder;
  row = Link{};
}

void LruPolicy::List::Insert(BlockIndex block, BlockIndex colder) {
  LruPolicy::Insert(links, *this, block, colder);
}

void LruPolicy::List::Remove(BlockIndex block) {
  if (sweep == block) sweep = link(block).warmer;
  LruPolicy::Remove(links, *this, block);
}

}  // namespace kvpager
