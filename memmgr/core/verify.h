// memmgr/core/verify.h
//
// Every invariant of every table, and everything that is counted twice, counted again from scratch.
// For tests, the simulator and debugging: O(pages + frames + references). A broken one is a CHECK.

#ifndef KVPAGER_MEMMGR_CORE_VERIFY_H_
#define KVPAGER_MEMMGR_CORE_VERIFY_H_

#include "memmgr/core/state.h"

namespace kvpager {

void VerifyAll(const CoreState& state);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_VERIFY_H_
