// memmgr/core/room.h
//
// Frames for what is to come up, and who makes way for it (R2, R3), within what the namespace may
// have (charges.h).
//
// Thread-safety: none. Work: bounded by the reach and the budget (R10).

#ifndef KVPAGER_MEMMGR_CORE_ROOM_H_
#define KVPAGER_MEMMGR_CORE_ROOM_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/charges.h"
#include "memmgr/core/state.h"

namespace kvpager {

inline constexpr uint32_t kHostReserve = 1;  // R2: kept for swaps.
inline constexpr uint32_t kMovesMax = 64;    // Moves out of HBM under way for one step.

// kStuck: nothing else can happen; even the reserved host frame is taken (R2).
enum class Urgency : uint8_t { kBackground, kDemand, kStuck };

// How far victims are looked for: a bounded way up from the coldest, or (before giving up) all.
enum class Reach : uint8_t { kNear, kAll };

// A move (R3) withdraws the HBM copy now and drops it when the copy is complete; a swap is a move
// that may use the reserved host frame, because a host page waits for the place (R2).
enum class Demotion : uint8_t { kCopy, kMove, kSwap };

// A free frame for a page of the namespace, after dropping what can be dropped at once; none if
// that is not enough. Not charged yet: the copy that it is for is (block_table.h).
FrameIndex TakeFrameHbm(CoreState& state, NamespaceId owner, Urgency urgency);
FrameIndex TakeFrameHost(CoreState& state, NamespaceId owner, Urgency urgency, Reserve reserve);

// Gives the block an NVMe run, taking another block's if need be.
bool TakeRun(CoreState& state, BlockIndex index, Urgency urgency);
// Whether it has one, or could have one.
bool MayGetRun(const CoreState& state, BlockIndex index);

// Starts moves (or swaps) out of HBM until `frames_wanted` will come free for the namespace;
// returns how many are on their way or free.
uint32_t MakeRoomHbm(CoreState& state, NamespaceId owner, uint32_t frames_wanted, Demotion kind,
                     Reach reach);

// True if a demand for a host frame can be met now or after operations that are in flight.
bool MakeRoomHost(CoreState& state, NamespaceId owner, Reach reach,
                  Reserve reserve = Reserve::kKeep);

// True if the page cannot go down because its namespace is at its maximum there.
bool StuckAbove(const CoreState& state, PageIndex page, Tier below, Reserve reserve);

// An unreferenced block is forgotten, with all its copies.
void Discard(CoreState& state, BlockIndex block);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_ROOM_H_
