// memmgr/core/pinning.h
//
// Pins of steps. A RESIDENT step pins copies in HBM. A SPLIT step pins each page where it is, and
// remembers in a bitmap of its own which ones that is host memory for.

#ifndef KVPAGER_MEMMGR_CORE_PINNING_H_
#define KVPAGER_MEMMGR_CORE_PINNING_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/state.h"
#include "memmgr/core/step_pages.h"
#include "memmgr/core/step_table.h"

namespace kvpager {

// Pins the page `count` times if it is where the step needs it; a retiring copy is rescued (R3).
bool PinIfThere(CoreState& state, Step& step, const StepPages& at, uint16_t count);

// Takes back one pin of the step.
void UnpinPage(CoreState& state, const Step& step, PageIndex page);

// The bitmap of a SPLIT step: false if all are taken. Nothing to do for other steps.
bool TakeSplitSlot(CoreState& state, Step& step);
void ReleaseSplitSlot(CoreState& state, Step& step);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_PINNING_H_
