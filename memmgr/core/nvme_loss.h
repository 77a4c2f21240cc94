// memmgr/core/nvme_loss.h
//
// The NVMe tier goes out of service, for the rest of this core's life: its device has failed too
// often (Core::LoseNvme). Nothing is written there any more; what has a copy in memory stays; of
// the others, what a sequence holds or somebody was promised is lost, and what is only cached is
// forgotten.
//
// The catalogue is not told: nothing on the device changes any more, so what it says stays true for
// a daemon that finds the device well again.
//
// Work: a part of each input (R10) until every row has been looked at.

#ifndef KVPAGER_MEMMGR_CORE_NVME_LOSS_H_
#define KVPAGER_MEMMGR_CORE_NVME_LOSS_H_

#include "memmgr/base/ids.h"
#include "memmgr/core/state.h"

namespace kvpager {

void LoseNvme(CoreState& state);

// Looks at more rows, if any are left.
void SweepLostNvme(CoreState& state);

// One block gives up its copies there, except those that are being read. REQUIRES: out of service.
void LeaveLostNvme(CoreState& state, BlockIndex block);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_NVME_LOSS_H_
