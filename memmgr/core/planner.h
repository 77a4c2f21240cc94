// memmgr/core/planner.h
//
// Which copies to start now: promotions, demotions, NVMe, and the two stocks that make a fault find
// a free frame (R2 to R8 of docs/PAGE_LIFECYCLE.md). Where the frames come from is room.h.
//
// Every function either starts an operation or changes a copy, or leaves everything as it was.
// Demand takes what it needs, down to dropping cached blocks; background work lives on what is free
// above the watermarks.

#ifndef KVPAGER_MEMMGR_CORE_PLANNER_H_
#define KVPAGER_MEMMGR_CORE_PLANNER_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/effect.h"
#include "memmgr/core/room.h"
#include "memmgr/core/state.h"

namespace kvpager {

// ---- Copies

// Host -> HBM. False if there is no frame or the channel is full.
bool Promote(CoreState& state, PageIndex page, Urgency urgency);

// NVMe -> host. Likewise.
bool Fetch(CoreState& state, PageIndex page, Urgency urgency);

// HBM -> host.
bool Demote(CoreState& state, PageIndex page, Urgency urgency, Demotion kind);

// Host -> NVMe. False if there is no run, the channel is full, or writes are backing off.
bool WriteOut(CoreState& state, PageIndex page, Urgency urgency = Urgency::kDemand);

// HBM -> HBM: the first rows of a tail, for a sequence that appends behind them.
bool CopyTail(CoreState& state, PageIndex source, PageIndex target);

// A frame for a new page of an open block: scrubbed first if another namespace used it.
bool Place(CoreState& state, PageIndex page, Urgency urgency);

// What the executor reported.
void FinishCopy(CoreState& state, const Operation& operation, Outcome outcome);

// ---- Stocks (R6)

void MaintainStocks(CoreState& state);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_PLANNER_H_
