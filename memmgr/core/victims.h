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

#ifndef KVPAGER_MEMMGR_CORE_VICTIMS_H_
#define KVPAGER_MEMMGR_CORE_VICTIMS_H_

#include "memmgr/base/ids.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/state.h"

namespace kvpager {

struct VictimHbm {
  PageIndex page;      // None: nothing may go.
  bool clean = false;  // Can be dropped at once.
  PageIndex cached;    // Coldest of a cached block: dropped where nothing can be moved.
};
VictimHbm FindVictimHbm(const CoreState& state, Reach reach);

enum class HostExit : uint8_t { kNone, kDrop, kDiscardBlock, kWriteOut };
struct VictimHost {
  PageIndex page;
  HostExit exit = HostExit::kNone;
};
VictimHost FindVictimHost(const CoreState& state, Reach reach);

// A block whose run can be taken: none if there is no such block. `discard`: it goes as a whole.
struct VictimNvme {
  BlockIndex block;
  bool discard = false;
};
VictimNvme FindVictimNvme(const CoreState& state, Reach reach);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_VICTIMS_H_
