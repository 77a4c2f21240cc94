// memmgr/core/policy.h
//
// ResidencyPolicy: in which order blocks leave a tier. It orders; the planner decides which of the
// blocks it names may really go (pins, leaf first).
//
// Contract: Track and Forget pair up per (tier, block). Touch means "used now"; callers touch a
// chain's tail before its head, so that heads end up younger (FIELD.md: policies that ignore chains
// strand tails). A block that comes up into a tier is being used now; one that goes down into it
// takes the place of its last use, however late it arrives. Coldest/Warmer walk from the next
// victim on; the walk is valid until the next call that changes the tier. Sweep is a second walk
// with a memory, for the cleaner.
//
// Blocks may belong to classes (charges.h): ColdestOf/WarmerOf walk those of one class in the same
// order, and Order compares blocks of different classes.
//
// Thread-safety: none. No allocation after construction. All O(1), Track within a bounded search
// for the block's place.

#ifndef KVPAGER_MEMMGR_CORE_POLICY_H_
#define KVPAGER_MEMMGR_CORE_POLICY_H_

#include <cstdint>

#include "memmgr/base/ids.h"

namespace kvpager {

class ResidencyPolicy {
 public:
  virtual ~ResidencyPolicy() = default;

  virtual void Track(Tier tier, BlockIndex block) = 0;   // First copy in the tier.
  virtual void Touch(BlockIndex block) = 0;              // In every tier that tracks it.
  virtual void Cool(BlockIndex block) = 0;               // Next victim in every tier.
  virtual void Forget(Tier tier, BlockIndex block) = 0;  // Last copy left the tier.

  virtual BlockIndex Coldest(Tier tier) const = 0;  // None if the tier is empty.
  virtual BlockIndex Warmer(Tier tier, BlockIndex block) const = 0;

  // The class of a block; before its first Track, or when it changes.
  virtual void Assign(BlockIndex block, uint32_t quota_class) = 0;
  virtual BlockIndex ColdestOf(Tier tier, uint32_t quota_class) const = 0;
  virtual BlockIndex WarmerOf(Tier tier, BlockIndex block) const = 0;  // In the block's class.
  virtual int64_t Order(BlockIndex block) const = 0;  // Smaller: colder. Of tracked blocks.

  // The block after the one that Sweep returned last, coldest first; none at the end, and then from
  // the coldest again.
  virtual BlockIndex Sweep(Tier tier) = 0;
  virtual void RestartSweep(Tier tier) = 0;  // From the coldest, as at first.
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_POLICY_H_
