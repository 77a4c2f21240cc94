// memmgr/core/background.h
//
// Work that nobody's step waits for: prefetches (out of free stock only), evictions on request, and
// blocks on their way to durability. Each is a slot with a cursor that moves on as copies arrive.

#ifndef KVPAGER_MEMMGR_CORE_BACKGROUND_H_
#define KVPAGER_MEMMGR_CORE_BACKGROUND_H_

#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "memmgr/core/state.h"

namespace kvpager {

void StartPrefetch(CoreState& state, const Command& command, const PrefetchCommand& body);
void StartEviction(CoreState& state, const Command& command, const EvictCommand& body);

// Every block of the sequence up to the named ones goes to NVMe, then into the catalogue, synced;
// then the command is answered.
void StartDurableName(CoreState& state, const Command& command, const NameCommand& body);

void RunBackground(CoreState& state);

// Nothing is in flight and nothing moves: evictions and durable names that wait would wait for
// ever.
void GiveUpBackground(CoreState& state);

// The same of those whose namespace is stuck at a maximum (quota_stuck.h). True if there was one.
bool GiveUpStuckBelow(CoreState& state);

// Ends the prefetches by keys, which hold the blocks that they bring nearer. False if there is
// none.
bool LetGoOfPrefetched(CoreState& state);

// A durable catalogue write has completed.
void FinishDurableWrite(CoreState& state, const Operation& operation, Outcome outcome);

// The sequence closes: its prefetches are dropped, its evictions answered.
void ForgetBackground(CoreState& state, SequenceId sequence);

// The earliest deadline of a prefetch; all ones if there is none.
Instant NextDeadline(const CoreState& state);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_BACKGROUND_H_
