// memmgr/core/collector.h
//
// Steps: from the wish to the pins and back.
//
//   BeginStep    checks and queues
//   Collect      admits the next step, pins or claims each page it needs, fetches what is absent,
//                and answers when nothing is missing (R1, R3, R4)
//   EndStep      the pins go, what was written may be sealed
//
// A *claim* is a place in the collecting step that waits for a page; claimed pages are nobody's
// victim.

#ifndef KVPAGER_MEMMGR_CORE_COLLECTOR_H_
#define KVPAGER_MEMMGR_CORE_COLLECTOR_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "memmgr/core/state.h"

namespace kvpager {

void BeginStep(CoreState& state, const Command& command, const StepBeginCommand& body);
void EndStep(CoreState& state, const Command& command, const StepEndCommand& body);
void CancelStep(CoreState& state, const Command& command, const StepCancelCommand& body);

// Everything that steps can do now. Called until nothing changes (R5).
void Collect(CoreState& state);

// The collecting step can never go on: nothing is in flight and no step will end. Answers it with
// kResourceExhausted. True if there was one.
bool GiveUpIfStuck(CoreState& state);

// One turn of the job that ends a step; true when it is done.
bool RunEndStep(CoreState& state, uint32_t slot);

// Ends a step for a client that is gone: queues the end, or drops the wish.
void AbortStep(CoreState& state, uint32_t slot);

// A copy that the collecting step waited for has failed.
void NoteFailure(CoreState& state, PageIndex page);

// Seals what is full and accepted in blocks [position_first, ...) of the sequence.
void SealAccepted(CoreState& state, Sequence& sequence, uint32_t position_first);

// Seals nothing, frees nothing: a sequence lets go of a block it held.
void DropReference(CoreState& state, BlockIndex block);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_COLLECTOR_H_
