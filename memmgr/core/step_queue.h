// memmgr/core/step_queue.h
//
// Which step is next (R1), and what its waiting time is charged to.

#ifndef KVPAGER_MEMMGR_CORE_STEP_QUEUE_H_
#define KVPAGER_MEMMGR_CORE_STEP_QUEUE_H_

#include <cstdint>

#include "memmgr/core/sequence_table.h"
#include "memmgr/core/state.h"
#include "memmgr/core/step_table.h"

namespace kvpager {

// Each client has a list of its steps that are not ready, in the order of begin.
void Enqueue(CoreState& state, uint32_t slot);
void Dequeue(CoreState& state, uint32_t slot);

// The waiting step whose namespace has collected least for its share, then the oldest; kNoSlot if
// none may start.
uint32_t NextToCollect(CoreState& state);

// The step has become ready: its namespace is charged with the frames it took (R1).
void CountTurn(CoreState& state, const Step& step);
// Nobody competes: past turns do not count for ever.
void ForgetTurns(CoreState& state);

// Nothing that was asked for earlier still has to happen to its sequences.
bool MayStart(CoreState& state, const Step& step);

// One of its sequences has been cut, or must be, since the step was asked for.
bool WasCut(CoreState& state, const Step& step);

// Charges the time since the last look to what the step was waiting for.
void Account(CoreState& state, Step& step);

// Calls visit(EntryState&, Sequence&) for each entry of the step.
template <typename Visit>
void ForEachEntry(CoreState& state, const Step& step, Visit visit) {
  for (uint32_t i = step.entry_first; i != kNoSlot;) {
    EntryState& entry = state.steps.entry(i);
    i = entry.next;
    visit(entry, *state.sequences.Find(entry.sequence));
  }
}

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_STEP_QUEUE_H_
