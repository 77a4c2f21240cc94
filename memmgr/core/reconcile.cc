#include "memmgr/core/reconcile.h"

#include <cstdint>

#include "memmgr/core/loss.h"
#include "memmgr/core/room.h"
#include "memmgr/core/stocks.h"

namespace kvpager {
namespace {

bool IsAligned(const CoreState& s, FrameIndex first) {
  return first.value % s.limits.num_groups == 0 &&
         first.value / s.limits.num_groups < s.blocks.runs_max();
}

bool LiesIn(const CoreState& s, BlockIndex index, FrameIndex first) {
  return !index.is_none() && s.blocks.block(index).nvme_first == first;
}

// A copy that is being read is judged by that read.
bool MayDropRun(const CoreState& s, BlockIndex index) {
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const Copy& copy = s.blocks.page(s.blocks.page_of(index, group)).copy(Tier::kNvme);
    if (!copy.absent() && !copy.idle()) return false;
  }
  return true;
}

// The block's run holds something else, so the block is lost as far as it was only there.
void DropStale(CoreState& s, BlockIndex index, RunFinding& finding) {
  if (!MayDropRun(s, index)) return;
  Block& block = s.blocks.block(index);
  const bool promised = block.durable && block.committed;
  finding.lost = true;
  finding.lost_durable = promised;
  if (block.durable) --s.durable_blocks;
  block.durable = block.rewrite = false;
  ForgetEntry(s, index);
  bool only_there = false;
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const PageIndex page = s.blocks.page_of(index, group);
    if (s.blocks.page(page).copy(Tier::kNvme).absent()) continue;
    only_there |= !s.blocks.HasOtherCopy(page, Tier::kNvme);
    s.blocks.Drop(page, Tier::kNvme);
  }
  s.blocks.RefreshStocks(index);
  s.progress = true;
  if (!only_there) return;
  if (block.references > 0 || promised) {
    LoseBlock(s, index);
  } else {
    ++s.metrics.evicted_dropped_pages[TierIndex(Tier::kNvme)];
    Discard(s, index);
  }
}

// Its parent may lie further on in the file, and may not have been known until now.
void LinkToParent(CoreState& s, BlockIndex index, const BlockKey& parent_key, RunFinding& finding) {
  if (parent_key.is_none() || !s.blocks.ParentOf(index).is_none()) return;
  const BlockIndex parent = s.index.Find(parent_key);
  if (parent.is_none()) {
    finding.again = true;
  } else if (parent != index) {
    s.blocks.SetParent(index, parent);
  }
}

}  // namespace

bool RestoreBlock(CoreState& s, const RestoredBlock& found) {
  if (found.key.is_none() || !IsAligned(s, found.frame_first)) return false;
  if (!s.blocks.RunIsFree(found.frame_first) || !s.index.Find(found.key).is_none()) return false;
  const BlockIndex index = s.blocks.Restore(NamespaceId{}, found.frame_first);
  if (index.is_none()) return false;
  Block& block = s.blocks.block(index);
  block.key = found.key;
  block.stamp = found.stamp;
  block.named = block.nvme_named = block.catalogued = true;
  block.durable = block.committed = found.durable;
  s.durable_blocks += found.durable ? 1 : 0;
  s.index.Insert(found.key, index);
  if (!found.parent_key.is_none()) {
    const BlockIndex parent = s.index.Find(found.parent_key);
    if (!parent.is_none()) s.blocks.SetParent(index, parent);
  }
  return true;
}

RunFinding ReconcileRun(CoreState& s, const FoundRun& run, bool last) {
  RunFinding finding;
  if (s.blocks.nvme_lost() || !IsAligned(s, run.frame_first)) return finding;
  const RestoredBlock& found = run.found;
  const bool expected = !run.expected_key.is_none();
  const bool as_expected =
      expected && found.key == run.expected_key && found.stamp == run.expected_stamp;
  if (expected && !as_expected) {
    const BlockIndex stale = s.index.Find(run.expected_key);
    if (LiesIn(s, stale, run.frame_first) && s.blocks.block(stale).stamp == run.expected_stamp) {
      DropStale(s, stale, finding);
    }
  }
  // Else somebody may have written there since, and the headers are of no interest any more.
  const bool untouched =
      s.blocks.RunIsHeld(run.frame_first) || (finding.lost && s.blocks.RunIsFree(run.frame_first));
  BlockIndex known = found.key.is_none() ? BlockIndex{} : s.index.Find(found.key);
  if (untouched && !known.is_none() && !last) {
    finding.again = true;  // The other run may turn out to hold something else.
    return finding;
  }
  s.blocks.ReleaseRun(run.frame_first);
  if (untouched && known.is_none() && RestoreBlock(s, found)) {
    known = s.index.Find(found.key);
    Block& block = s.blocks.block(known);
    block.catalogued = block.committed = false;
    EnterCatalogue(s, known);
    finding.restored = true;
  }
  if (LiesIn(s, known, run.frame_first) && s.blocks.block(known).stamp == found.stamp) {
    LinkToParent(s, known, found.parent_key, finding);
  }
  finding.again = finding.again && !last;
  return finding;
}

}  // namespace kvpager
