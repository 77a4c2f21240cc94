#include "memmgr/core/stocks.h"

#include <cstdint>

#include "memmgr/base/check.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/room.h"
#include "memmgr/core/victims.h"

namespace kvpager {

void EnterCatalogue(CoreState& s, BlockIndex index) {
  Block& block = s.blocks.block(index);
  if (!block.live() || !block.named || !block.nvme_named || block.catalogued) return;
  if (block.pages_valid_nvme != s.limits.num_groups) return;
  const BlockIndex parent = s.blocks.ParentOf(index);
  s.effects->catalogue_writes.push_back(
      {.key = block.key,
       .parent_key = parent.is_none() ? BlockKey{} : s.blocks.block(parent).key,
       .frame_first = block.nvme_first,
       .stamp = block.stamp,
       .last_use = block.last_use});
  block.catalogued = true;
}

void ForgetEntry(CoreState& s, BlockIndex index) {
  Block& block = s.blocks.block(index);
  if (!block.catalogued) return;
  s.effects->catalogue_writes.push_back({.key = block.key});
  block.catalogued = false;
  block.committed = false;
}

void ForgetRun(CoreState& s, BlockIndex index) {
  ForgetEntry(s, index);
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const PageIndex page = s.blocks.page_of(index, group);
    if (s.blocks.page(page).copy(Tier::kNvme).absent()) continue;
    KVP_CHECK(s.blocks.HasOtherCopy(page, Tier::kNvme));
    s.blocks.Drop(page, Tier::kNvme);
    ++s.metrics.evicted_clean_pages[TierIndex(Tier::kNvme)];
  }
}

void LeaveRun(CoreState& s, PageIndex page) {
  const Block& block = s.blocks.block(s.blocks.block_of(page));
  if (!block.live() || !block.rewrite || !s.blocks.page(page).copy(Tier::kNvme).idle()) return;
  if (s.blocks.HasOtherCopy(page, Tier::kNvme)) s.blocks.Drop(page, Tier::kNvme);
}

namespace {

// Free frames below the low mark are refilled to the high mark from what can leave at once; where
// the cold end is dirty (what is clean may be warm), by moves.
void RefillFreeHbm(CoreState& s) {
  constexpr size_t kTier = TierIndex(Tier::kHbm);
  FreeMap& frames = s.blocks.frames(Tier::kHbm);
  if (frames.free_count() < s.limits.free_low[kTier]) s.refilling_free[kTier] = true;
  VictimSearch search;
  while (s.refilling_free[kTier] && s.Spend()) {
    if (frames.free_count() >= s.limits.free_high[kTier]) s.refilling_free[kTier] = false;
    const uint32_t coming =
        frames.free_count() + s.operations.moves_in_flight() + s.blocks.limbo().coming(s.now);
    if (coming >= s.limits.free_high[kTier]) return;
    const VictimHbm victim = FindVictimHbm(s, search);
    if (victim.page.is_none()) return;
    if (victim.clean) {
      s.blocks.Drop(victim.page, Tier::kHbm);
      ++s.metrics.evicted_clean_pages[kTier];
      s.progress = true;
      continue;
    }
    const Block& block = s.blocks.block(s.blocks.block_of(victim.page));
    if (block.phase != BlockPhase::kSealed && !block.movable) return;
    if (Demote(s, victim.page, Urgency::kBackground, Demotion::kMove)) continue;
    if (!StuckAbove(s, victim.page, Tier::kHost, Reserve::kKeep)) return;
    search.stuck |= MaskOf(s.blocks.charges().ClassOf(block.name_space));
  }
}

// True if nothing more can be written now: then cached blocks make room by going.
bool WritesSaturated(const CoreState& s) {
  return s.blocks.runs_max() == 0 || s.now < s.nvme_write_retry ||
         !s.operations.HasRoom(Channel::kHostToNvme);
}

void RefillFreeHost(CoreState& s) {
  constexpr size_t kTier = TierIndex(Tier::kHost);
  FreeMap& frames = s.blocks.frames(Tier::kHost);
  if (frames.free_count() < s.limits.free_low[kTier]) s.refilling_free[kTier] = true;
  while (s.refilling_free[kTier] && s.Spend()) {
    if (frames.free_count() >= s.limits.free_high[kTier]) s.refilling_free[kTier] = false;
    if (!s.refilling_free[kTier]) return;
    const VictimHost victim = FindVictimHost(s, {});
    if (victim.exit == HostExit::kDrop && s.blocks.page(victim.page).copy(Tier::kNvme).valid()) {
      s.blocks.Drop(victim.page, Tier::kHost);
      ++s.metrics.evicted_clean_pages[kTier];
    } else if (victim.exit == HostExit::kDiscardBlock) {
      const BlockIndex index = s.blocks.block_of(victim.page);
      // Worth a write: wait for one to get through, unless the channel is full already.
      const bool urgent = frames.free_count() < s.limits.free_low[kTier];
      if (s.blocks.Admitted(s.blocks.block(index)) && !(WritesSaturated(s) && urgent)) return;
      ++s.metrics.evicted_dropped_pages[kTier];
      Discard(s, index);
    } else {
      return;
    }
    s.progress = true;
  }
}

// Whether cleaning is on: from below the low mark until the high mark is reached.
bool Cleaning(CoreState& s, Tier tier) {
  const size_t index = TierIndex(tier);
  const Channel channel = tier == Tier::kHbm ? Channel::kHbmToHost : Channel::kHostToNvme;
  const uint32_t stock = s.blocks.frames(tier).free_count() + s.blocks.clean_pages(tier) +
                         s.operations.in_flight(channel);  // What is on its way counts.
  if (stock < s.limits.clean_low[index] && !s.refilling_clean[index]) {
    s.refilling_clean[index] = true;
    // From the coldest again: a cursor that only ever goes on stays ahead of what it had to skip.
    s.blocks.policy().RestartSweep(tier);
  }
  if (stock >= s.limits.clean_high[index]) s.refilling_clean[index] = false;
  return s.refilling_clean[index];
}

// Copies one cold dirty page of the block downwards. False when no more can be started.
bool CleanHbm(CoreState& s, BlockIndex index) {
  if (s.blocks.block(index).phase != BlockPhase::kSealed) return true;
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const PageIndex page = s.blocks.page_of(index, group);
    const Page& row = s.blocks.page(page);
    if (!row.copy(Tier::kHbm).idle() || row.claims > 0) continue;
    if (!row.copy(Tier::kHost).absent() || row.copy(Tier::kNvme).valid()) continue;
    if (Demote(s, page, Urgency::kBackground, Demotion::kCopy)) continue;
    return StuckAbove(s, page, Tier::kHost, Reserve::kKeep);  // Others may go on.
  }
  return true;
}

// True if a full NVMe tier holds only what was used later, and this cached block ends a chain: it
// is the next victim of all tiers together. Kept instead, it would keep the chain before it from
// leaving the NVMe tier, and warmer chains would have to go.
bool ColdestOfAll(const CoreState& s, BlockIndex index) {
  const Block& block = s.blocks.block(index);
  if (block.references > 0 || block.durable || block.children > 0) return false;
  if (!block.nvme_first.is_none() || !SparesBlock(s, block, {})) return false;
  const bool own_short =
      s.blocks.charges().Room(block.name_space, Tier::kNvme) < s.limits.num_groups;
  if (s.blocks.runs_free() > 0 && !own_short) return false;
  if (block.pages_in[TierIndex(Tier::kHbm)] > 0) return false;
  const VictimNvme victim = FindVictimNvme(
      s, {.taker = block.name_space, .whose = own_short ? Whose::kOwn : Whose::kAnybodys});
  return !victim.block.is_none() && s.blocks.block(victim.block).last_use > block.last_use;
}

bool CleanHost(CoreState& s, BlockIndex index) {
  const Block& block = s.blocks.block(index);
  if (block.phase != BlockPhase::kSealed) return true;
  // What an open sequence holds but nobody has named yet is written only under need, or when the
  // sequence is suspended.
  if (!(block.named && s.blocks.Admitted(block)) && !block.movable) return true;
  if (ColdestOfAll(s, index)) {
    ++s.metrics.evicted_dropped_pages[TierIndex(Tier::kHost)];
    Discard(s, index);
    s.progress = true;
    return true;
  }
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const PageIndex page = s.blocks.page_of(index, group);
    const Page& row = s.blocks.page(page);
    if (!row.copy(Tier::kHost).valid() || !row.copy(Tier::kNvme).absent()) continue;
    if (WriteOut(s, page, Urgency::kBackground)) continue;
    return StuckAbove(s, page, Tier::kNvme, Reserve::kUse);  // Others may go on.
  }
  return true;
}

void Clean(CoreState& s, Tier tier) {
  constexpr uint32_t kBlocksPerInput = 32;
  const Channel channel = tier == Tier::kHbm ? Channel::kHbmToHost : Channel::kHostToNvme;
  if (!Cleaning(s, tier)) return;
  for (uint32_t i = 0; i < kBlocksPerInput && s.operations.HasRoom(channel); ++i) {
    const BlockIndex index = s.blocks.policy().Sweep(tier);
    if (index.is_none()) return;  // All seen; from the coldest again next time.
    if (!s.Spend()) return;
    const bool more = tier == Tier::kHbm ? CleanHbm(s, index) : CleanHost(s, index);
    if (!more || !Cleaning(s, tier)) return;
  }
}

}  // namespace

void MaintainStocks(CoreState& s) {
  RefillFreeHost(s);
  RefillFreeHbm(s);
  Clean(s, Tier::kHost);
  Clean(s, Tier::kHbm);
}

}  // namespace kvpager
