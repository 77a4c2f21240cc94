// memmgr/core/loss.h
//
// Blocks that are gone, and the sequences that must be cut because of it. A block is as lost as its
// worst page; a sequence ends before its first lost block, in every group.

#ifndef KVPAGER_MEMMGR_CORE_LOSS_H_
#define KVPAGER_MEMMGR_CORE_LOSS_H_

#include "memmgr/base/ids.h"
#include "memmgr/core/state.h"

namespace kvpager {

// The block's last copy of some page was unreadable: it is no longer found by its key, and every
// sequence with it is cut as soon as no ready step reads it. O(blocks of all sequences); rare.
void LoseBlock(CoreState& state, BlockIndex block);

// Cuts the sequence if it must be and no ready step prevents it.
void CutIfPossible(CoreState& state, SequenceId id);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_LOSS_H_
