#include "memmgr/core/victims.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace kvpager {
namespace {

constexpr uint32_t kPagesNear = 8192;  // How far a bounded walk looks.
constexpr uint32_t kBlocksNear = 256;  // How far it goes on for a better class, once it has one.

bool MayLeave(const CoreState& state, PageIndex page, Tier tier) {
  const Page& row = state.blocks.page(page);
  return row.copy(tier).idle() && row.claims == 0;
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
// `stop()` or the reach ends.
template <typename Offer, typename Stop>
void WalkTier(const CoreState& state, Tier tier, Reach reach, Offer offer, Stop stop) {
  uint32_t pages = 0;
  uint32_t blocks_since_found = 0;
  bool found = false;
  for (BlockIndex index = state.blocks.policy().Coldest(tier); !index.is_none();
       index = state.blocks.policy().Warmer(tier, index)) {
    for (uint32_t group = 0; group < state.limits.num_groups; ++group) {
      const PageIndex page = state.blocks.page_of(index, group);
      if (MayLeave(state, page, tier)) found |= offer(state.blocks.block(index), page);
    }
    if (stop()) return;
    pages += state.limits.num_groups;
    if (reach == Reach::kAll) continue;
    if (found && ++blocks_since_found > kBlocksNear) return;
    if (pages > kPagesNear) return;
  }
}

bool CanWriteOut(const CoreState& state) { return state.blocks.runs_max() > 0; }

}  // namespace

VictimHbm FindVictimHbm(const CoreState& state, Reach reach) {
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
  WalkTier(
      state, Tier::kHbm, reach,
      [&](const Block& block, PageIndex page) {
        if (block.phase == BlockPhase::kOpen) {
          const Copy& host = state.blocks.page(page).copy(Tier::kHost);
          if (block.write_pins > 0 || (block.unseen && !block.movable)) return false;
          if (host.valid()) {
            candidates.Offer(kTailCopied, page);  // Its move was undone, and nobody wrote it since.
          } else if (host.absent() && !open_full) {
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
          candidates.Offer(leaf ? kDirtyLeaf : kDirty, page);
          const bool droppable = block.references == 0 && !block.durable &&
                                 (block.children == 0 || reach == Reach::kAll);
          if (cached.is_none() && droppable) cached = page;
        } else {
          return false;  // On its way down already.
        }
        // A clean page, even a warmer one, is no wait: keep looking while there is one.
        return state.blocks.clean_pages(Tier::kHbm) == 0;
      },
      [&] { return candidates.best == kCleanLeaf; });
  if (candidates.best == kRanks) return {};
  return {candidates.pages[candidates.best], candidates.best <= kTailCopied, cached};
}

VictimHost FindVictimHost(const CoreState& state, Reach reach) {
  enum Rank : size_t { kOnNvme, kInHbm, kCachedLeaf, kHalfWritten, kReferenced, kCached, kRanks };
  Candidates<kRanks> candidates;
  WalkTier(
      state, Tier::kHost, reach,
      [&](const Block& block, PageIndex page) {
        if (block.phase != BlockPhase::kSealed) return false;
        const Page& row = state.blocks.page(page);
        if (row.copy(Tier::kNvme).valid()) {
          candidates.Offer(kOnNvme, page);
        } else if (row.copy(Tier::kHbm).valid()) {
          candidates.Offer(kInHbm, page);
        } else if (block.references == 0 && !block.durable) {
          // Without a head its children are never found again (R8); of a block that is on its way
          // to NVMe the pages written so far would be lost with it.
          const bool whole = block.nvme_first.is_none();
          candidates.Offer(block.children > 0 ? kCached : whole ? kCachedLeaf : kHalfWritten, page);
        } else if (row.copy(Tier::kNvme).absent()) {
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
      if (CanWriteOut(state)) return {candidates.pages[candidates.best], HostExit::kWriteOut};
      if (candidates.pages[kCached].is_none()) return {};
      return {candidates.pages[kCached], HostExit::kDiscardBlock};
    default:
      return {};
  }
}

namespace {

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

}  // namespace

VictimNvme FindVictimNvme(const CoreState& state, Reach reach) {
  VictimNvme inner;   // Cached, but with children: only if there is no leaf.
  VictimNvme higher;  // Referenced, and all of it is higher up too.
  uint32_t blocks = 0;
  for (BlockIndex index = state.blocks.policy().Coldest(Tier::kNvme); !index.is_none();
       index = state.blocks.policy().Warmer(Tier::kNvme, index)) {
    if (reach == Reach::kNear && ++blocks > kPagesNear) break;
    const Block& block = state.blocks.block(index);
    bool sole = false;
    if (block.durable || !RunMayGo(state, index, &sole)) continue;
    if (!sole) {
      if (higher.block.is_none()) higher = {index, false};
      if (block.references == 0 && block.children == 0) return {index, false};
      continue;
    }
    if (block.references > 0) continue;
    if (block.children == 0) return {index, true};
    if (inner.block.is_none()) inner = {index, true};
  }
  return inner.block.is_none() ? higher : inner;
}

}  // namespace kvpager
