#include "memmgr/core/room.h"

#include <algorithm>
#include <cstdint>

#include "memmgr/base/check.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/stocks.h"
#include "memmgr/core/victims.h"

namespace kvpager {
namespace {

constexpr int kRunsTakenMax = 8;  // Given up for one, by a namespace that is above its maximum.

// How many frames the collecting step can use.
uint32_t FramesWanted(const CoreState& s) {
  if (s.collecting == kNoSlot) return 1;
  return std::clamp(s.steps.step(s.collecting).missing, 1u, kMovesMax);
}

Whose WhoseFor(bool own_short) { return own_short ? Whose::kOwn : Whose::kAnybodys; }

// Frames that come free, or are: for anybody, and within the namespace's maximum.
struct Coming {
  uint32_t all = 0;
  uint32_t own = 0;

  uint32_t least() const { return std::min(all, own); }
};

Coming ComingHbm(const CoreState& s, NamespaceId owner) {
  const Limbo& limbo = s.blocks.limbo();
  const Charges& charges = s.blocks.charges();
  Coming coming{.all = s.operations.moves_in_flight() + s.blocks.frames(Tier::kHbm).free_count() +
                       limbo.coming(s.now),
                .own = charges.Room(owner, Tier::kHbm)};
  if (!charges.IsBounded(owner, Tier::kHbm)) return coming;
  const uint32_t quota_class = charges.ClassOf(owner);
  coming.own += s.operations.moves_of(quota_class) + limbo.coming_of(quota_class, s.now);
  return coming;
}

}  // namespace

FrameIndex TakeFrameHbm(CoreState& s, NamespaceId owner, Urgency urgency) {
  FreeMap& frames = s.blocks.frames(Tier::kHbm);
  const Charges& charges = s.blocks.charges();
  const Limbo& limbo = s.blocks.limbo();
  const bool own_short = charges.Room(owner, Tier::kHbm) == 0;
  if (urgency == Urgency::kBackground) {
    const uint32_t keep = s.limits.free_low[TierIndex(Tier::kHbm)] / 2;
    if (own_short || frames.free_count() <= keep) return {};
  } else if (own_short || frames.free_count() == 0) {
    const uint32_t coming =
        own_short ? limbo.coming_of(charges.ClassOf(owner), s.now) : limbo.coming(s.now);
    if (coming >= FramesWanted(s)) return {};  // They are on their way.
    const VictimHbm victim = FindVictimHbm(s, {.taker = owner, .whose = WhoseFor(own_short)});
    if (victim.page.is_none() || !victim.clean) return {};
    s.blocks.Drop(victim.page, Tier::kHbm);
    ++s.metrics.evicted_clean_pages[TierIndex(Tier::kHbm)];
    if (charges.Room(owner, Tier::kHbm) == 0) return {};  // It is in limbo.
  }
  const uint32_t frame = frames.Take();
  return frame == FreeMap::kNone ? FrameIndex{} : FrameIndex{frame};
}

FrameIndex TakeFrameHost(CoreState& s, NamespaceId owner, Urgency urgency, Reserve reserve) {
  FreeMap& frames = s.blocks.frames(Tier::kHost);
  const Charges& charges = s.blocks.charges();
  const auto has_room = [&](Reserve use) {
    const uint32_t kept = use == Reserve::kKeep ? kHostReserve : 0;
    return frames.free_count() > kept && charges.Room(owner, Tier::kHost, use) > 0;
  };
  if (urgency == Urgency::kBackground) {
    const uint32_t keep = kHostReserve + s.limits.free_low[TierIndex(Tier::kHost)] / 2;
    if (frames.free_count() <= keep || !has_room(Reserve::kKeep)) return {};
  } else if (!has_room(Reserve::kKeep)) {
    MakeRoomHost(s, owner, Reach::kNear);
    if (!has_room(Reserve::kKeep)) {
      if (reserve == Reserve::kKeep || !has_room(Reserve::kUse)) return {};
      ++s.metrics.swaps;
    }
  }
  return FrameIndex{frames.Take()};
}

// In the background only a colder block's run is taken: else two blocks would take each other's for
// ever.
bool TakeRun(CoreState& s, BlockIndex index, Urgency urgency) {
  const NamespaceId owner = s.blocks.block(index).name_space;
  const Charges& charges = s.blocks.charges();
  for (int i = 0; i < kRunsTakenMax; ++i) {
    const bool own_short = charges.Room(owner, Tier::kNvme) < s.limits.num_groups;
    if (s.blocks.runs_free() > 0 && !own_short) break;
    const VictimNvme victim = FindVictimNvme(s, {.taker = owner, .whose = WhoseFor(own_short)});
    if (victim.block.is_none() || victim.block == index) return false;
    const bool colder = s.blocks.block(victim.block).last_use < s.blocks.block(index).last_use;
    if (urgency == Urgency::kBackground && !colder) return false;
    if (victim.discard) {
      ++s.metrics.evicted_dropped_pages[TierIndex(Tier::kNvme)];
      Discard(s, victim.block);
    } else {
      ForgetRun(s, victim.block);
      s.blocks.Readmit(victim.block);
    }
    if (s.blocks.runs_free() == 0) return false;
  }
  if (charges.Room(owner, Tier::kNvme) < s.limits.num_groups) return false;
  s.blocks.TakeRun(index, Stamp{s.limits.incarnation, ++s.stamp_counter});
  return true;
}

bool MayGetRun(const CoreState& s, BlockIndex index) {
  const Block& block = s.blocks.block(index);
  if (!block.nvme_first.is_none()) return true;
  const bool own_short =
      s.blocks.charges().Room(block.name_space, Tier::kNvme) < s.limits.num_groups;
  if (s.blocks.runs_free() > 0 && !own_short) return true;
  const VictimNvme victim =
      FindVictimNvme(s, {.taker = block.name_space, .whose = WhoseFor(own_short)});
  return !victim.block.is_none() && victim.block != index;
}

bool StuckAbove(const CoreState& s, PageIndex page, Tier below, Reserve reserve) {
  const Charges& charges = s.blocks.charges();
  const NamespaceId owner = s.blocks.block(s.blocks.block_of(page)).name_space;
  const uint32_t needed = below == Tier::kNvme ? s.limits.num_groups : 1;
  return charges.Room(owner, below, reserve) < needed;
}

uint32_t MakeRoomHbm(CoreState& s, NamespaceId owner, uint32_t frames_wanted, Demotion kind,
                     Reach reach) {
  const Charges& charges = s.blocks.charges();
  const Reserve reserve = kind == Demotion::kSwap ? Reserve::kUse : Reserve::kKeep;
  VictimSearch search{.taker = owner, .reach = reach};
  Coming coming = ComingHbm(s, owner);
  while (coming.least() < frames_wanted && s.Spend()) {
    search.whose = WhoseFor(coming.own < frames_wanted);
    const VictimHbm victim = FindVictimHbm(s, search);
    if (!victim.found()) break;
    const PageIndex loser = victim.page.is_none() ? victim.cached : victim.page;
    const NamespaceId from = s.blocks.block(s.blocks.block_of(loser)).name_space;
    const auto note = [&] {
      ++coming.all;
      if (from == owner && coming.own != ~uint32_t{0}) ++coming.own;
    };
    if (!victim.page.is_none()) {
      if (victim.clean) {
        s.blocks.Drop(victim.page, Tier::kHbm);
        ++s.metrics.evicted_clean_pages[TierIndex(Tier::kHbm)];
        s.progress = true;
        note();
        continue;
      }
      if (Demote(s, victim.page, Urgency::kDemand, kind)) {
        note();
        continue;
      }
      if (!s.blocks.block(s.blocks.block_of(victim.page)).live()) continue;  // Went meanwhile.
      if (!s.operations.HasRoom(Channel::kHbmToHost)) break;
      if (StuckAbove(s, victim.page, Tier::kHost, reserve)) {  // Others may still go.
        search.stuck |= MaskOf(charges.ClassOf(from));
        continue;
      }
    }
    // No room below. A cached block is worth less than a step's wait.
    if (victim.cached.is_none()) break;
    const BlockIndex index = s.blocks.block_of(victim.cached);
    if (!s.blocks.block(index).live()) continue;
    ++s.metrics.evicted_dropped_pages[TierIndex(Tier::kHbm)];
    Discard(s, index);
    s.progress = true;
    note();
  }
  return coming.least();
}

bool MakeRoomHost(CoreState& s, NamespaceId owner, Reach reach, Reserve reserve) {
  FreeMap& frames = s.blocks.frames(Tier::kHost);
  const Charges& charges = s.blocks.charges();
  VictimSearch search{.taker = owner, .reach = reach};
  while (true) {
    const bool own_short = charges.Room(owner, Tier::kHost, reserve) == 0;
    if (frames.free_count() > kHostReserve && !own_short) return true;
    search.whose = WhoseFor(own_short);
    const VictimHost victim = FindVictimHost(s, search);
    switch (victim.exit) {
      case HostExit::kNone:
        return false;
      case HostExit::kDrop:
        s.blocks.Drop(victim.page, Tier::kHost);
        ++s.metrics.evicted_clean_pages[TierIndex(Tier::kHost)];
        break;
      case HostExit::kDiscardBlock:
        ++s.metrics.evicted_dropped_pages[TierIndex(Tier::kHost)];
        Discard(s, s.blocks.block_of(victim.page));
        break;
      case HostExit::kWriteOut: {
        if (WriteOut(s, victim.page)) return true;
        if (!StuckAbove(s, victim.page, Tier::kNvme, Reserve::kUse)) return false;
        const Block& block = s.blocks.block(s.blocks.block_of(victim.page));
        search.stuck |= MaskOf(charges.ClassOf(block.name_space));
        continue;
      }
    }
    s.progress = true;
  }
}

void Discard(CoreState& s, BlockIndex index) {
  Block& block = s.blocks.block(index);
  KVP_CHECK_EQ(block.references, 0u);
  if (block.named) {
    s.index.Erase(block.key);
    block.named = false;
  }
  if (block.durable) {
    block.durable = false;
    --s.durable_blocks;
  }
  ForgetEntry(s, index);
  s.blocks.Release(index);
}

}  // namespace kvpager
