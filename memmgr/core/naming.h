// memmgr/core/naming.h
//
// Names: full blocks of a sequence enter the prefix index, and outlive it.

#ifndef KVPAGER_MEMMGR_CORE_NAMING_H_
#define KVPAGER_MEMMGR_CORE_NAMING_H_

#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "memmgr/core/state.h"

namespace kvpager {

// True if all blocks that the command names exist and are sealed.
bool AllSealed(const CoreState& state, const Sequence& sequence, const NameCommand& body);

// The block that is named as this one is, or would be: the first that got the name.
BlockIndex Canonical(const CoreState& state, BlockIndex block);

// An NVMe copy written before the block had a name does not carry it, and no restart would find it:
// dropped, to be written again, if every page has another copy and none is in use.
void ForgetUnnamedRun(CoreState& state, BlockIndex block);

// The first namer of a key wins; a second one keeps its block to itself until it closes.
void NameBlocks(CoreState& state, const Command& command, const NameCommand& body);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_NAMING_H_
