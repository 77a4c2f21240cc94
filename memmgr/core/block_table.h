// memmgr/core/block_table.h
//
// BlockTable: every block, its pages and their copies, and the frames they stand in. The only code
// that changes a Copy; each change keeps, in the same call, everything that follows from it:
//
//   the frame's pool, the policy's lists, the counts of resident children (leaf first, R8), the
//   clean stock (R6), what the namespace is charged with, and the page table word that engines
//   read.
//
// Thread-safety: none. No allocation after construction. Every call O(1) unless it says otherwise.
// Errors: none; a forbidden transition is a CHECK.

#ifndef KVPAGER_MEMMGR_CORE_BLOCK_TABLE_H_
#define KVPAGER_MEMMGR_CORE_BLOCK_TABLE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "memmgr/base/free_map.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/charges.h"
#include "memmgr/core/effect.h"
#include "memmgr/core/limbo.h"
#include "memmgr/core/limits.h"
#include "memmgr/core/page_state.h"
#include "memmgr/core/policy.h"
#include "memmgr/core/quarantine.h"
#include "memmgr/core/write_budget.h"

namespace kvpager {

class BlockTable {
 public:
  explicit BlockTable(const Limits& limits);

  // Where page table writes go: set at the start of each input.
  void set_effects(Effects* effects) { effects_ = effects; }

  // ---- Rows
  const Block& block(BlockIndex index) const { return blocks_[index.value]; }
  Block& block(BlockIndex index) { return blocks_[index.value]; }
  const Page& page(PageIndex index) const { return pages_[index.value]; }
  PageIndex page_of(BlockIndex block, uint32_t group) const {
    return PageIndex{group * blocks_max_ + block.value};
  }
  BlockIndex block_of(PageIndex page) const { return BlockIndex{page.value % blocks_max_}; }
  uint32_t group_of(PageIndex page) const { return page.value / blocks_max_; }
  uint32_t num_groups() const { return num_groups_; }
  uint32_t blocks_max() const { return blocks_max_; }
  uint32_t rows_free() const { return rows_.free_count(); }

  // A new open block behind `parent`, as near behind row `hint` as possible; none if all rows are
  // taken.
  BlockIndex Allocate(NamespaceId name_space, BlockIndex parent, uint32_t hint);
  // A sealed block whose pages are all valid on NVMe. REQUIRES: its run is free.
  BlockIndex Restore(NamespaceId name_space, FrameIndex nvme_first);
  void Seal(BlockIndex index);
  // Nobody refers to it any more. It is freed when its last copy is gone.
  void Release(BlockIndex index);
  void SetParent(BlockIndex index, BlockIndex parent);
  BlockIndex ParentOf(BlockIndex index) const;  // None: first of its chain, or cut off from it.
  void AddReference(BlockIndex index);
  void RemoveReference(BlockIndex index);
  // A restored block learns whose it is. O(1).
  void SetNamespace(BlockIndex index, NamespaceId name_space);
  void SetMovable(BlockIndex index, bool movable);
  void Touch(BlockIndex index);
  void Cool(BlockIndex index);

  // ---- Copies
  void FillStart(PageIndex page, Tier tier, FrameIndex frame);
  void FillDone(PageIndex page, Tier tier);
  void FillFail(PageIndex page, Tier tier);
  void Adopt(PageIndex page, Tier tier, FrameIndex frame);
  void Withdraw(PageIndex page);  // HBM: valid -> retiring.
  void Rescue(PageIndex page);    // HBM: retiring -> valid.
  void Drop(PageIndex page, Tier tier);
  void AddReader(PageIndex page, Tier tier);
  void RemoveReader(PageIndex page, Tier tier);
  void Pin(PageIndex page, Tier tier, uint16_t count = 1);
  void Unpin(PageIndex page, Tier tier);
  void AddClaim(PageIndex page);
  void SetGuarded(PageIndex page, bool guarded);
  uint16_t TakeClaims(PageIndex page);  // Returns them and leaves none.
  void RemoveClaim(PageIndex page);

  // True if the page has a copy, valid or retiring, in a tier other than `tier`.
  bool HasOtherCopy(PageIndex page, Tier tier) const;

  // ---- Frames
  FreeMap& frames(Tier tier) { return tier == Tier::kHbm ? hbm_frames_ : host_frames_; }
  const FreeMap& frames(Tier tier) const { return tier == Tier::kHbm ? hbm_frames_ : host_frames_; }
  uint32_t runs_free() const { return nvme_lost_ ? 0 : runs_.free_count(); }
  // Gives `block` a run and a stamp. REQUIRES: a run is free and the block has none.
  void TakeRun(BlockIndex block, Stamp stamp);
  bool RunIsFree(FrameIndex first) const { return runs_.is_free(first.value / num_groups_); }
  // Keeps every free run from everybody until ReleaseRun: what is in it has not been looked at.
  // Before the first input. O(runs).
  void HoldFreeRuns();
  bool RunIsHeld(FrameIndex first) const {
    return runs_held_ > 0 && run_held_[first.value / num_groups_];
  }
  // Does nothing to a run that is not held.
  void ReleaseRun(FrameIndex first);
  uint32_t runs_held() const { return nvme_lost_ ? 0 : runs_held_; }
  // 0: there is no NVMe tier, or it is out of service.
  uint32_t runs_max() const { return nvme_lost_ ? 0 : runs_.size(); }
  // The block's run is given to nobody once the block has left it.
  void RetireRun(BlockIndex block);
  uint32_t runs_retired() const { return runs_retired_; }
  void LoseNvme() { nvme_lost_ = true; }
  bool nvme_lost() const { return nvme_lost_; }
  // The namespace whose bytes an HBM frame may hold; none: zeroes.
  NamespaceId frame_namespace(FrameIndex frame) const { return frame_namespaces_[frame.value]; }
  void set_frame_namespace(FrameIndex frame, NamespaceId name) {
    frame_namespaces_[frame.value] = name;
  }

  // Frames that a step may still read of which nobody told the core.
  Limbo& limbo() { return limbo_; }
  const Limbo& limbo() const { return limbo_; }
  // Frames that revoked engines could write.
  Quarantine& quarantine() { return quarantine_; }
  const Quarantine& quarantine() const { return quarantine_; }
  // The page, which is sealed and not in HBM, has the frame back that it left last, if that is
  // still in limbo: nobody has written it since. False: it is not.
  bool TakeBack(PageIndex page);
  // A frame in limbo that nobody reads any more; `writer`, if any, could write it.
  void LeaveLimbo(FrameIndex frame, NamespaceId name_space, ClientId writer);
  // A frame that was charged as leaving is free.
  void GiveLeaving(FrameIndex frame, NamespaceId name_space);
  // Engines of the namespace that run such steps.
  void CountUnseenReaders(NamespaceId name, int change) {
    unseen_readers_[name.value] += static_cast<uint32_t>(change);
  }

  // Who has how many frames.
  Charges& charges() { return charges_; }
  const Charges& charges() const { return charges_; }

  // ---- Stocks (R6)
  uint32_t clean_pages(Tier tier) const { return clean_pages_[TierIndex(tier)]; }
  uint32_t pinned_pages(Tier tier) const { return pinned_pages_[TierIndex(tier)]; }
  uint32_t blocks_in(Tier tier) const { return blocks_in_[TierIndex(tier)]; }
  uint32_t claimed_pages() const { return claimed_pages_; }
  // Pages of open blocks in host memory: they cannot go on to NVMe.
  uint32_t open_pages_host() const { return open_pages_host_; }
  // Asks whether the block is worth an NVMe write by now; once it is, it stays so.
  void Admit(BlockIndex index);
  // Asks again, of one that has lost its run: writing it once more costs as much as the first time.
  // O(groups).
  void Readmit(BlockIndex index);
  WriteBudget& write_budget() { return write_budget_; }
  const WriteBudget& write_budget() const { return write_budget_; }
  // A cached block that will not be written to NVMe may be dropped as it is.
  bool Admitted(const Block& block) const;
  // After something that Admitted depends on has changed. O(groups).
  void RefreshStocks(BlockIndex index);

  const ResidencyPolicy& policy() const { return *policy_; }
  ResidencyPolicy& policy() { return *policy_; }

 private:
  friend class Verifier;

  void Change(PageIndex page, Tier tier, CopyEvent event, FrameIndex frame);
  void Enter(BlockIndex block, Tier tier);
  void Leave(BlockIndex block, Tier tier);
  void FreeRow(BlockIndex index);
  void Publish(PageIndex page);
  void LetGoOfFrame(PageIndex index, Tier tier, FrameIndex frame, bool was_readable);
  bool IsClean(PageIndex page, Tier tier) const;
  void CountOpenHost(const Block& row, int32_t pages);
  void RefreshStock(PageIndex page);
  Page& mutable_page(PageIndex index) { return pages_[index.value]; }

  const uint32_t num_groups_;
  const uint32_t blocks_max_;
  const Admission admission_;
  WriteBudget write_budget_;
  std::vector<Block> blocks_;
  std::vector<Page> pages_;
  std::vector<NamespaceId> frame_namespaces_;
  std::vector<uint32_t> unseen_readers_;  // By namespace.
  Limbo limbo_;
  Quarantine quarantine_;
  FreeMap rows_;
  FreeMap hbm_frames_;
  FreeMap host_frames_;
  FreeMap runs_;
  uint32_t run_hint_ = 0;
  uint32_t runs_retired_ = 0;
  std::vector<bool> run_held_;  // Empty: none was ever.
  uint32_t runs_held_ = 0;
  bool nvme_lost_ = false;
  std::array<uint32_t, 2> clean_pages_{};
  std::array<uint32_t, kTierCount> pinned_pages_{};
  std::array<uint32_t, kTierCount> blocks_in_{};
  uint32_t claimed_pages_ = 0;
  uint32_t open_pages_host_ = 0;
  Charges charges_;
  uint64_t use_counter_ = 0;
  std::unique_ptr<ResidencyPolicy> policy_;
  Effects* effects_ = nullptr;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_BLOCK_TABLE_H_
