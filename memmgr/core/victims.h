// memmgr/core/victims.h
//
// Which page leaves a tier next. The policy orders blocks, coldest first; these walks skip what may
// not go (pinned, claimed, being read) and prefer, among what is near the cold end, what costs
// least:
//
//   HBM     clean leaf, clean, open tail with a copy below, dirty leaf, dirty, open tail of a
//           suspended sequence, any open tail
//   host    on NVMe, also in HBM, cached leaf, cached leaf that is half written, referenced (must
//   be written
//           first), cached
//   NVMe    cached leaf, cached, referenced but also higher up
//
// A leaf has no child block in the tier (R8). Nothing is changed here. O(reach).
//
// Where namespaces have quotas (charges.h): whoever the room is for, it comes from namespaces that
// have more than their guarantee, in the order above; else from its own. Nobody else's is taken.

#ifndef KVPAGER_MEMMGR_CORE_VICTIMS_H_
#define KVPAGER_MEMMGR_CORE_VICTIMS_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/charges.h"
#include "memmgr/core/room.h"
#include "memmgr/core/state.h"

namespace kvpager {

enum class Whose : uint8_t { kAnybodys, kOwn };

struct VictimSearch {
  NamespaceId taker;  // None: background work, which takes from nobody's guarantee.
  Reach reach = Reach::kNear;
  Whose whose = Whose::kAnybodys;  // kOwn: the taker is at its maximum.
  ClassMask stuck = 0;  // Classes whose pages cannot go down: their maximum below is reached.
};

struct VictimHbm {
  PageIndex page;      // None: nothing may go.
  bool clean = false;  // Can be dropped at once.
  PageIndex cached;    // Coldest of a cached block: dropped where nothing can be moved.

  bool found() const { return !page.is_none() || !cached.is_none(); }
};
VictimHbm FindVictimHbm(const CoreState& state, const VictimSearch& search);

enum class HostExit : uint8_t { kNone, kDrop, kDiscardBlock, kWriteOut };
struct VictimHost {
  PageIndex page;
  HostExit exit = HostExit::kNone;

  bool found() const { return exit != HostExit::kNone; }
};
VictimHost FindVictimHost(const CoreState& state, const VictimSearch& search);

// A block whose run can be taken: none if there is no such block. `discard`: it goes as a whole.
struct VictimNvme {
  BlockIndex block;
  bool discard = false;

  bool found() const { return !block.is_none(); }
};
VictimNvme FindVictimNvme(const CoreState& state, const VictimSearch& search);

// True if `taker` (none: nobody) may take the whole block, which goes from every tier.
bool SparesBlock(const CoreState& state, const Block& block, NamespaceId taker);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_VICTIMS_H_
