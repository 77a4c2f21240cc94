// memmgr/core/collector.h
//
// From a step's wish to its pins (R1, R3, R4):
//
//   admit    blocks for its new tokens               admission.h
//   claim    each page it needs: pinned if it is there, else claimed
//   fetch    copies and frames for what is claimed, as channels and room allow
//   ready    nothing is missing: answered
//
// A *claim* is a place in the collecting step that waits for a page; claimed pages are nobody's
// victim. Steps that need no frame pass by without collecting.
//
// Thread-safety: none.

#ifndef KVPAGER_MEMMGR_CORE_COLLECTOR_H_
#define KVPAGER_MEMMGR_CORE_COLLECTOR_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/state.h"

namespace kvpager {

// Everything that steps can do now. Called until nothing changes (R5).
void Collect(CoreState& state);

// Gives back every pin and claim of the collecting step, and what admission did: it waits again.
void AbandonCollecting(CoreState& state, uint32_t slot);

// The collecting step can never go on: nothing is in flight and no step will end. Makes room from
// further away, or answers it with kResourceExhausted. True if there was one.
bool GiveUpIfStuck(CoreState& state);

// Room for the collecting step from further away, or through the reserve, or by letting go of
// prefetched blocks. True if that started something.
bool TryFarther(CoreState& state, uint32_t slot);

// Its blocks were used now; of long sequences not more often than is worth the time.
void TouchBlocks(CoreState& state, Sequence& sequence);

// A copy that the collecting step waited for has failed.
void NoteFailure(CoreState& state, PageIndex page);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_COLLECTOR_H_
