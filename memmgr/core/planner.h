// memmgr/core/planner.h
//
// Which copies to start now: room in a tier, promotions, demotions, NVMe, and the two stocks that
// make a fault find a free frame (R2 to R8 of docs/PAGE_LIFECYCLE.md).
//
// Every function either starts an operation or changes a copy, or leaves everything as it was.
// Demand takes what it needs, down to dropping cached blocks; background work lives on what is free
// above the watermarks.

#ifndef KVPAGER_MEMMGR_CORE_PLANNER_H_
#define KVPAGER_MEMMGR_CORE_PLANNER_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/effect.h"
#include "memmgr/core/state.h"

namespace kvpager {

// kStuck: nothing else can happen; even the reserved host frame is taken (R2).
enum class Urgency : uint8_t { kBackground, kDemand, kStuck };

// How far victims are looked for: a bounded way up from the coldest, or (before giving up) all.
enum class Reach : uint8_t { kNear, kAll };

inline constexpr uint32_t kMovesMax = 64;  // Moves out of HBM under way for one step.

// ---- Copies

// Host -> HBM. False if there is no frame or the channel is full.
bool Promote(CoreState& state, PageIndex page, Urgency urgency);

// NVMe -> host. Likewise.
bool Fetch(CoreState& state, PageIndex page, Urgency urgency);

// HBM -> host. A move (R3) withdraws the HBM copy now and drops it when the copy is complete; a
// swap is a move that may use the reserved host frame, because a host page waits for the place
// (R2).
enum class Demotion : uint8_t { kCopy, kMove, kSwap };
bool Demote(CoreState& state, PageIndex page, Urgency urgency, Demotion kind);

// Host -> NVMe. False if there is no run, the channel is full, or writes are backing off.
bool WriteOut(CoreState& state, PageIndex page, Urgency urgency = Urgency::kDemand);

// HBM -> HBM: the first rows of a tail, for a sequence that appends behind them.
bool CopyTail(CoreState& state, PageIndex source, PageIndex target);

// A frame for a new page of an open block: scrubbed first if another namespace used it.
bool Place(CoreState& state, PageIndex page);

// What the executor reported.
void FinishCopy(CoreState& state, const Operation& operation, Outcome outcome);

// ---- Room

// Starts moves (or swaps) out of HBM until `frames_wanted` will come free; returns how many are on
// their way or free.
uint32_t MakeRoomHbm(CoreState& state, uint32_t frames_wanted, Demotion kind, Reach reach);

// True if a demand for a host frame can be met now or after operations that are in flight.
bool MakeRoomHost(CoreState& state, Reach reach);

// An unreferenced block is forgotten, with all its copies.
void Discard(CoreState& state, BlockIndex block);

// ---- Stocks (R6)

void MaintainStocks(CoreState& state);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_PLANNER_H_
