// memmgr/core/lru_policy.h
//
// Least recently used: one doubly linked list per tier, threaded through one row per block.

#ifndef KVPAGER_MEMMGR_CORE_LRU_POLICY_H_
#define KVPAGER_MEMMGR_CORE_LRU_POLICY_H_

#include <array>
#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"
#include "memmgr/core/policy.h"

namespace kvpager {

class LruPolicy final : public ResidencyPolicy {
 public:
  explicit LruPolicy(uint32_t blocks_max);

  void Track(Tier tier, BlockIndex block) override;
  void Touch(BlockIndex block) override;
  void Cool(BlockIndex block) override;
  void Forget(Tier tier, BlockIndex block) override;
  BlockIndex Coldest(Tier tier) const override;
  BlockIndex Warmer(Tier tier, BlockIndex block) const override;
  BlockIndex Sweep(Tier tier) override;

 private:
  struct Link {
    BlockIndex colder;
    BlockIndex warmer;
    bool tracked = false;
  };
  struct List {
    BlockIndex coldest;
    BlockIndex warmest;
    BlockIndex sweep;  // Next to be returned by Sweep.
  };

  Link& link(Tier tier, BlockIndex block) { return links_[TierIndex(tier)][block.value]; }
  void Unlink(Tier tier, BlockIndex block);
  void LinkWarmest(Tier tier, BlockIndex block);
  void LinkColdest(Tier tier, BlockIndex block);

  std::array<std::vector<Link>, kTierCount> links_;
  std::array<List, kTierCount> lists_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_LRU_POLICY_H_
