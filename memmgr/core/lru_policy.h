// memmgr/core/lru_policy.h
//
// Least recently used: doubly linked lists threaded through one row per block, one list per tier
// and one of all blocks, each in the order of use. A block that enters a tier finds its place there
// by its neighbours in the list of all.

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
  void RestartSweep(Tier tier) override;

 private:
  struct Link {
    BlockIndex colder;
    BlockIndex warmer;
    bool linked = false;
  };
  struct List {
    std::vector<Link> links;  // By block.
    BlockIndex coldest;
    BlockIndex warmest;
    BlockIndex sweep;  // Next to be returned by Sweep.

    Link& link(BlockIndex block) { return links[block.value]; }
    const Link& link(BlockIndex block) const { return links[block.value]; }
    void Insert(BlockIndex block, BlockIndex colder);  // None: as the coldest.
    void Remove(BlockIndex block);
  };

  List& list(Tier tier) { return tiers_[TierIndex(tier)]; }
  const List& list(Tier tier) const { return tiers_[TierIndex(tier)]; }
  bool TrackedBelow(Tier tier, BlockIndex block) const;
  BlockIndex NearestColder(Tier tier, BlockIndex block) const;

  std::array<List, kTierCount> tiers_;
  List all_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_LRU_POLICY_H_
