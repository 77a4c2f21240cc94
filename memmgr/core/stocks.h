// memmgr/core/stocks.h
//
// The two stocks of each tier (R6): free frames, and clean pages that can leave at once; and what
// the catalogue is told of a block. MaintainStocks is declared in planner.h.

#ifndef KVPAGER_MEMMGR_CORE_STOCKS_H_
#define KVPAGER_MEMMGR_CORE_STOCKS_H_

#include "memmgr/base/ids.h"
#include "memmgr/core/state.h"

namespace kvpager {

// Tells the catalogue where a named block lives, once all its pages are on NVMe under its name.
void EnterCatalogue(CoreState& state, BlockIndex block);

// Tells the catalogue that the block is no longer there, if it was told that it was.
void ForgetEntry(CoreState& state, BlockIndex block);

// Drops all NVMe copies of a block that has others. REQUIRES: none of them is being read or
// written.
void ForgetRun(CoreState& state, BlockIndex block);

// A page of a block that is to be written again gives up its place in the old run, if it has
// another copy.
void LeaveRun(CoreState& state, PageIndex page);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_STOCKS_H_
