// memmgr/core/lru_policy.h
//
// Least recently used: doubly linked lists threaded through one row per block, one list per tier
// and one of all blocks, each in the order of use. A block that enters a tier finds its place there
// by its neighbours in the list of all. Where namespaces have quotas, one more list per tier and
// class, in the order that `order_` has: the place of each block in the list of all, as a number.

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
  explicit LruPolicy(uint32_t blocks_max, uint32_t classes = 1);

  void Track(Tier tier, BlockIndex block) override;
  void Touch(BlockIndex block) override;
  void Cool(BlockIndex block) override;
  void Forget(Tier tier, BlockIndex block) override;
  BlockIndex Coldest(Tier tier) const override;
  BlockIndex Warmer(Tier tier, BlockIndex block) const override;
  void Assign(BlockIndex block, uint32_t quota_class) override;
  BlockIndex ColdestOf(Tier tier, uint32_t quota_class) const override;
  BlockIndex WarmerOf(Tier tier, BlockIndex block) const override;
  int64_t Order(BlockIndex block) const override { return order_[block.value]; }
  BlockIndex Sweep(Tier tier) override;
  void RestartSweep(Tier tier) override;

 private:
  struct Link {
    BlockIndex colder;
    BlockIndex warmer;
    bool linked = false;
  };
  struct Ends {
    BlockIndex coldest;
    BlockIndex warmest;
  };
  using Links = std::vector<Link>;  // By block.
  struct List : Ends {
    Links links;
    BlockIndex sweep;  // Next to be returned by Sweep.

    Link& link(BlockIndex block) { return links[block.value]; }
    const Link& link(BlockIndex block) const { return links[block.value]; }
    void Insert(BlockIndex block, BlockIndex colder);  // None: as the coldest.
    void Remove(BlockIndex block);
  };
  // The lists of all classes in one tier: a block is in that of its class.
  struct ClassLists {
    Links links;
    std::vector<Ends> ends;  // By class.
  };

  static void Insert(Links& links, Ends& ends, BlockIndex block, BlockIndex colder);
  static void Remove(Links& links, Ends& ends, BlockIndex block);

  List& list(Tier tier) { return tiers_[TierIndex(tier)]; }
  const List& list(Tier tier) const { return tiers_[TierIndex(tier)]; }
  bool TrackedBelow(Tier tier, BlockIndex block) const;
  BlockIndex NearestColder(Tier tier, BlockIndex block) const;
  BlockIndex NearestColderOf(Tier tier, BlockIndex block) const;
  bool has_classes() const { return !class_of_.empty(); }
  Ends& class_ends(Tier tier, BlockIndex block) {
    return classes_[TierIndex(tier)].ends[class_of_[block.value]];
  }
  void PlaceInClass(Tier tier, BlockIndex block);
  void TakeFromClass(Tier tier, BlockIndex block);
  enum class End : uint8_t { kColdest, kWarmest };
  void Move(BlockIndex block, End end);

  std::array<List, kTierCount> tiers_;
  List all_;
  std::array<ClassLists, kTierCount> classes_;  // Empty with one class.
  std::vector<uint8_t> class_of_;               // By block; likewise.
  std::vector<int64_t> order_;                  // By block; likewise.
  int64_t warmest_order_ = 0;
  int64_t coldest_order_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_LRU_POLICY_H_
