#include "memmgr/core/nvme_loss.h"

#include <cstdint>

#include "memmgr/base/check.h"
#include "memmgr/core/loss.h"
#include "memmgr/core/room.h"

namespace kvpager {

void LoseNvme(CoreState& s) {
  if (s.blocks.nvme_lost() || s.blocks.runs_max() == 0) return;
  s.blocks.LoseNvme();
  s.nvme_write_retry = Instant{};
  s.nvme_rows_left = s.limits.blocks_max;
}

void LeaveLostNvme(CoreState& s, BlockIndex index) {
  KVP_CHECK(s.blocks.nvme_lost());
  Block& block = s.blocks.block(index);
  if (!block.live()) return;
  const bool promised = block.durable && block.committed;
  if (block.durable) --s.durable_blocks;
  block.durable = block.committed = block.catalogued = block.rewrite = false;
  bool lost = false;
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const PageIndex page = s.blocks.page_of(index, group);
    if (!s.blocks.page(page).copy(Tier::kNvme).idle()) continue;
    lost |= !s.blocks.HasOtherCopy(page, Tier::kNvme);
    s.blocks.Drop(page, Tier::kNvme);
  }
  s.blocks.RefreshStocks(index);
  if (!lost) return;
  if (block.references > 0 || promised) {
    LoseBlock(s, index);
  } else {
    ++s.metrics.evicted_dropped_pages[TierIndex(Tier::kNvme)];
    Discard(s, index);
  }
}

void SweepLostNvme(CoreState& s) {
  // Steps that wait get the other half.
  const uint32_t budget_kept = s.limits.pages_per_input / 2;
  while (s.nvme_rows_left > 0) {
    if (s.budget <= budget_kept || !s.EffectsHaveRoom()) {
      s.jobs_cut = true;
      return;
    }
    const BlockIndex index{--s.nvme_rows_left};
    s.Spend(s.blocks.block(index).phase == BlockPhase::kFree ? 1 : s.limits.num_groups);
    LeaveLostNvme(s, index);
    s.progress = true;
  }
}

}  // namespace kvpager
