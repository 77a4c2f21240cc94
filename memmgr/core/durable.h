// memmgr/core/durable.h
//
// Durable names on their way: blocks down to NVMe, then entries into the catalogue, synced. The
// answer comes last, so what was acknowledged survives a power cut (as far as the device keeps what
// it acknowledged). Started through background.h.

#ifndef KVPAGER_MEMMGR_CORE_DURABLE_H_
#define KVPAGER_MEMMGR_CORE_DURABLE_H_

#include "memmgr/core/state.h"

namespace kvpager {

void RunDurableNames(CoreState& state);

// The device refuses writes again and again: those that wait for one are told.
void FailDurableNames(CoreState& state);

// Nothing is in flight and nothing moves: those that wait will wait for ever.
// Those whose namespace is stuck at a maximum; true if there was one.
bool GiveUpDurableNamesStuckBelow(CoreState& state);
void GiveUpDurableNames(CoreState& state);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_DURABLE_H_
