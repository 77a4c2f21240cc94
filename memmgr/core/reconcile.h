// memmgr/core/reconcile.h
//
// Blocks that were on NVMe before the daemon started.
//
// After an unclean stop the catalogue, which is a hint, is restored at once, and the headers of all
// runs, which are the truth, are read behind the serving daemon's back. Until a run's headers have
// been seen nobody is given that run, so that nothing unknown is overwritten; a block whose run
// turns out to hold something else is dropped; one that nobody knew is taken in.

#ifndef KVPAGER_MEMMGR_CORE_RECONCILE_H_
#define KVPAGER_MEMMGR_CORE_RECONCILE_H_

#include "memmgr/core/core.h"
#include "memmgr/core/state.h"

namespace kvpager {

// A row for the block, unverified. False, and nothing changed: its run is not free, its key is
// known, or there is no row left.
bool RestoreBlock(CoreState& state, const RestoredBlock& found);

// What Core::Reconcile does, up to the fixed point.
RunFinding ReconcileRun(CoreState& state, const FoundRun& run, bool last);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_RECONCILE_H_
