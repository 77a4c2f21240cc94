#include "memmgr/core/cold_walk.h"

#include <cstdint>

namespace kvpager {

ColdWalk::ColdWalk(const BlockTable& blocks, Tier tier, ClassMask mask)
    : policy_(blocks.policy()), tier_(tier), merges_(mask != kAllClasses) {
  if (!merges_) {
    block_ = policy_.Coldest(tier);
    return;
  }
  for (uint32_t quota_class = 0; quota_class < blocks.charges().classes(); ++quota_class) {
    if ((mask & MaskOf(quota_class)) == 0) continue;
    const BlockIndex coldest = policy_.ColdestOf(tier, quota_class);
    if (!coldest.is_none()) heads_[classes_++] = coldest;
  }
  PickHead();
}

void ColdWalk::PickHead() {
  block_ = BlockIndex{};
  for (uint32_t i = 0; i < classes_; ++i) {
    if (!block_.is_none() && policy_.Order(heads_[i]) >= policy_.Order(block_)) continue;
    block_ = heads_[i];
    head_ = i;
  }
}

void ColdWalk::Next() {
  if (!merges_) {
    block_ = policy_.Warmer(tier_, block_);
    return;
  }
  heads_[head_] = policy_.WarmerOf(tier_, block_);
  if (heads_[head_].is_none()) heads_[head_] = heads_[--classes_];
  PickHead();
}

}  // namespace kvpager
