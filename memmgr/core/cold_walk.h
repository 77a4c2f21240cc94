// memmgr/core/cold_walk.h
//
// ColdWalk: the blocks of a tier, coldest first, of some classes of namespaces only. With all
// classes it is the policy's own list; else the classes' lists are merged by order of use.
//
// Valid until the next change of the tier. Thread-safety: none. A step is O(1), or O(classes).

#ifndef KVPAGER_MEMMGR_CORE_COLD_WALK_H_
#define KVPAGER_MEMMGR_CORE_COLD_WALK_H_

#include <array>
#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/block_table.h"
#include "memmgr/core/charges.h"

namespace kvpager {

class ColdWalk {
 public:
  ColdWalk(const BlockTable& blocks, Tier tier, ClassMask mask);

  bool valid() const { return !block_.is_none(); }
  BlockIndex block() const { return block_; }
  void Next();

 private:
  void PickHead();

  const ResidencyPolicy& policy_;
  const Tier tier_;
  const bool merges_;
  uint32_t classes_ = 0;  // Lists that are not at their end, in `heads_`.
  std::array<BlockIndex, kClassesMax> heads_;
  uint32_t head_ = 0;  // The list that `block_` is of.
  BlockIndex block_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_COLD_WALK_H_
