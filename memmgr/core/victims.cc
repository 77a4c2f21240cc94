#include "memmgr/core/victims.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "memmgr/core/cold_walk.h"

namespace kvpager {
namespace {

constexpr uint32_t kPagesNear = 8192;  // How far a bounded walk looks.
constexpr uint32_t kBlocksNear = 256;  // How far it goes on for a better class, once it has one.

bool MayLeave(const CoreState& state, PageIndex page, Tier tier) {
  const Page& row = state.blocks.page(page);
  return row.copy(tier).idle() && row.claims == 0 && !(tier == Tier::kHost && row.guarded);
}

// Best candidate per class; a lower class is better.
template <size_t kClasses>
struct Candidates {
  std::array<PageIndex, kClasses> pages;
  size_t best = kClasses;

  void Offer(size_t rank, PageIndex page) {
    if (!pages[rank].is_none()) return;
    pages[rank] = page;
    if (rank < best) best = rank;
  }
};

// Calls `offer(block, page)` for each page in `tier` that may leave, coldest block first, until
// `stop()` or the reach ends. Of the classes in `mask` only, and not of blocks that have nothing
// better than what was found: `hopeless(block)`.
template <typename Hopeless, typename Offer, typename Stop>
void WalkTier(const CoreState& state, Tier tier, ClassMask mask, Reach reach, Hopeless hopeless,
              Offer offer, Stop stop) {
  uint32_t pages = 0;
  uint32_t blocks_since_found = 0;
  bool found = false;
  for (ColdWalk walk(state.blocks, tier, mask); walk.valid(); walk.Next()) {
    const BlockIndex index = walk.block();
    const Block& block = state.blocks.block(index);
    for (uint32_t group = 0; group < state.limits.num_groups && !hopeless(block); ++group) {
      const PageIndex page = state.blocks.page_of(index, group);
      if (MayLeave(state, page, tier)) found |= offer(block, page);
    }
    if (stop()) return;
    pages += state.limits.num_groups;
    if (reach == Reach::kAll) continue;
    if (found && ++blocks_since_found > kBlocksNear) return;
    if (pages > kPagesNear) return;
  }
}

ClassMask ClassOf(const CoreState& state, const Block& block) {
  return MaskOf(state.blocks.charges().ClassOf(block.name_space));
}

bool CanWriteOut(const CoreState& state, const Block& block, const VictimSearch& search) {
  if (state.blocks.runs_max() == 0 || (search.stuck & ClassOf(state, block)) != 0) return false;
  return state.blocks.charges().quota(block.name_space, Tier::kNvme).max >= state.limits.num_groups;
}

// Looks where there is more than is guaranteed, then among the taker's own.
template <typename Victim, typename Find>
Victim InStages(const CoreState& state, const VictimSearch& search, Tier tier, Find find) {
  const Charges& charges = state.blocks.charges();
  if (!charges.any_quota()) return find(kAllClasses);
  const ClassMask own = search.taker.is_none() ? 0 : MaskOf(charges.ClassOf(search.taker));
  if (search.whose == Whose::kOwn) return find(own);
  const ClassMask sparing =
      charges.Sparing(tier, tier == Tier::kNvme ? state.limits.num_groups : 1);
  const Victim victim = find(sparing);
  if (victim.found() || (own & ~sparing) == 0) return victim;
  return find(own);
}

VictimHbm FindHbm(const CoreState& state, const VictimSearch& search, ClassMask mask) {
  enum Rank : size_t {
    kCleanLeaf,
    kClean,
    kTailCopied,
    kDirtyLeaf,
    kDirty,
    kSuspendedTail,
    kOpenTail,
    kRanks
  };
  Candidates<kRanks> candidates;
  PageIndex cached;
  // Open tails cannot go on to NVMe: two host frames stay for what passes through.
  const bool open_full =
      state.blocks.open_pages_host() + 2 >= state.limits.frames_max[TierIndex(Tier::kHost)];
  const auto can_go_down = [&](const Block& block) {
    return (search.stuck & ClassOf(state, block)) == 0;
  };
  WalkTier(
      state, Tier::kHbm, mask, search.reach, [](const Block&) { return false; },
      [&](const Block& block, PageIndex page) {
        if (block.phase == BlockPhase::kOpen) {
          const Copy& host = state.blocks.page(page).copy(Tier::kHost);
          if (block.write_pins > 0 || (block.unseen && !block.movable)) return false;
          if (host.valid()) {
            candidates.Offer(kTailCopied, page);  // Its move was undone, and nobody wrote it since.
          } else if (host.absent() && !open_full && can_go_down(block) &&
                     !state.blocks.charges().OpenHostFull(block.name_space)) {
            candidates.Offer(block.movable ? kSuspendedTail : kOpenTail, page);
          }
          return false;  // Keep looking for a sealed one.
        }
        const bool leaf = block.children_in[TierIndex(Tier::kHbm)] == 0;
        const Page& row = state.blocks.page(page);
        if (row.copy(Tier::kHost).valid() || row.copy(Tier::kNvme).valid()) {
          candidates.Offer(leaf ? kCleanLeaf : kClean, page);
          return true;
        }
        if (row.copy(Tier::kHost).absent()) {
          const bool goes_down = can_go_down(block);
          if (goes_down) candidates.Offer(leaf ? kDirtyLeaf : kDirty, page);
          const bool droppable = block.references == 0 && !block.durable &&
                                 (block.children == 0 || search.reach == Reach::kAll);
          if (cached.is_none() && droppable && SparesBlock(state, block, search.taker))
            cached = page;
          if (!goes_down) return false;
        } else {
          return false;  // On its way down already.
        }
        // A clean page, even a warmer one, is no wait: keep looking while there is one.
        return state.blocks.clean_pages(Tier::kHbm) == 0;
      },
      [&] { return candidates.best == kCleanLeaf; });
  if (candidates.best == kRanks) return {{}, false, cached};
  return {candidates.pages[candidates.best], candidates.best <= kTailCopied, cached};
}

VictimHost FindHost(const CoreState& state, const VictimSearch& search, ClassMask mask) {
  enum Rank : size_t { kOnNvme, kInHbm, kCachedLeaf, kHalfWritten, kReferenced, kCached, kRanks };
  Candidates<kRanks> candidates;
  WalkTier(
      state, Tier::kHost, mask, search.reach,
      // All that is better is to be on NVMe, and then it is in the clean stock.
      [&](const Block& block) {
        return candidates.best <= kInHbm && block.clean_pages[TierIndex(Tier::kHost)] == 0;
      },
      [&](const Block& block, PageIndex page) {
        if (block.phase != BlockPhase::kSealed) return false;
        const Page& row = state.blocks.page(page);
        if (row.copy(Tier::kNvme).valid()) {
          candidates.Offer(kOnNvme, page);
        } else if (row.copy(Tier::kHbm).valid()) {
          candidates.Offer(kInHbm, page);
        } else if (block.references == 0 && !block.durable) {
          if (!SparesBlock(state, block, search.taker)) return false;
          // Without a head its children are never found again (R8); of a block that is on its way
          // to NVMe the pages written so far would be lost with it.
          const bool whole = block.nvme_first.is_none();
          candidates.Offer(block.children > 0 ? kCached : whole ? kCachedLeaf : kHalfWritten, page);
        } else if (row.copy(Tier::kNvme).absent()) {
          if (!CanWriteOut(state, block, search)) return state.blocks.runs_max() == 0;
          candidates.Offer(kReferenced, page);
        } else {
          return false;  // On its way down already.
        }
        return true;
      },
      [&] { return candidates.best == kOnNvme; });
  switch (candidates.best) {
    case kOnNvme:
    case kInHbm:
      return {candidates.pages[candidates.best], HostExit::kDrop};
    case kCachedLeaf:
    case kHalfWritten:
    case kCached:
      return {candidates.pages[candidates.best], HostExit::kDiscardBlock};
    case kReferenced:
      return {candidates.pages[candidates.best], HostExit::kWriteOut};
    default:
      return {};
  }
}

// True if every NVMe copy of the block may go; `sole` is set if some page has no other copy.
bool RunMayGo(const CoreState& state, BlockIndex index, bool* sole) {
  *sole = false;
  for (uint32_t group = 0; group < state.limits.num_groups; ++group) {
    const PageIndex page = state.blocks.page_of(index, group);
    const Page& row = state.blocks.page(page);
    const Copy& copy = row.copy(Tier::kNvme);
    if (copy.absent()) continue;
    if (!copy.idle()) return false;
    if (!state.blocks.HasOtherCopy(page, Tier::kNvme)) {
      if (row.claims > 0) return false;
      *sole = true;
    }
  }
  return true;
}

VictimNvme FindNvme(const CoreState& state, const VictimSearch& search, ClassMask mask) {
  VictimNvme inner;   // Cached, but with children: only if there is no leaf.
  VictimNvme higher;  // Referenced, and all of it is higher up too.
  uint32_t blocks = 0;
  for (ColdWalk walk(state.blocks, Tier::kNvme, mask); walk.valid(); walk.Next()) {
    const BlockIndex index = walk.block();
    if (search.reach == Reach::kNear && ++blocks > kPagesNear) break;
    const Block& block = state.blocks.block(index);
    bool sole = false;
    if (block.durable || !RunMayGo(state, index, &sole)) continue;
    if (!sole) {
      if (higher.block.is_none()) higher = {index, false};
      if (block.references == 0 && block.children == 0) return {index, false};
      continue;
    }
    if (block.references > 0 || !SparesBlock(state, block, search.taker)) continue;
    if (block.children == 0) return {index, true};
    if (inner.block.is_none()) inner = {index, true};
  }
  return inner.block.is_none() ? higher : inner;
}

}  // namespace

bool SparesBlock(const CoreState& state, const Block& block, NamespaceId taker) {
  const Charges& charges = state.blocks.charges();
  if (!charges.any_quota() || block.name_space == taker) return true;
  for (Tier tier : {Tier::kHbm, Tier::kHost, Tier::kNvme}) {
    uint32_t frames = block.pages_in[TierIndex(tier)];
    if (frames == 0) continue;
    if (tier == Tier::kNvme) frames = state.limits.num_groups;
    if (!charges.Spares(block.name_space, tier, frames)) return false;
  }
  return true;
}

VictimHbm FindVictimHbm(const CoreState& state, const VictimSearch& search) {
  return InStages<VictimHbm>(state, search, Tier::kHbm,
                             [&](ClassMask mask) { return FindHbm(state, search, mask); });
}

VictimHost FindVictimHost(const CoreState& state, const VictimSearch& search) {
  return InStages<VictimHost>(state, search, Tier::kHost,
                              [&](ClassMask mask) { return FindHost(state, search, mask); });
}

VictimNvme FindVictimNvme(const CoreState& state, const VictimSearch& search) {
  return InStages<VictimNvme>(state, search, Tier::kNvme,
                              [&](ClassMask mask) { return FindNvme(state, search, mask); });
}

}  // namespace kvpager
