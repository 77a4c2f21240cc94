#include "memmgr/core/pinning.h"

#include <algorithm>
#include <cstdint>

#include "memmgr/core/step_queue.h"

namespace kvpager {
namespace {

bool PinnedInHost(const CoreState& s, const Step& step, PageIndex page) {
  return step.split_slot != kNoSlot && s.split_pages[step.split_slot][page.value];
}

// An open page that will be written may have no second copy: it would be stale at once.
bool SoleCopy(CoreState& s, PageIndex page) {
  const Copy& host = s.blocks.page(page).copy(Tier::kHost);
  if (host.absent()) return true;
  if (!host.idle()) return false;
  s.blocks.Drop(page, Tier::kHost);
  return true;
}

enum class HbmUse : uint8_t { kNone, kCopied, kWritten };

// What the step does in HBM with the block at hand, there or at another of its places: a tail that
// one entry reads may be written, or copied, for another.
HbmUse UseInHbm(CoreState& s, const Step& step, const StepPages& at) {
  if (at.writes()) return HbmUse::kWritten;
  const BlockIndex index = at.block();
  const Block& block = s.blocks.block(index);
  HbmUse use = at.is_tail_source() ? HbmUse::kCopied : HbmUse::kNone;
  if (block.references < 2) return use;
  if (block.phase == BlockPhase::kSealed && step.split_slot == kNoSlot) return use;
  ForEachEntry(s, step, [&](const EntryState& entry, const Sequence& sequence) {
    if (entry.tail_source == index) use = std::max(use, HbmUse::kCopied);
    if (entry.write_first >= sequence.blocks) return;
    if (s.sequences.At(sequence, entry.write_first) == index) use = HbmUse::kWritten;
  });
  return use;
}

}  // namespace

bool PinIfThere(CoreState& s, Step& step, const StepPages& at, uint16_t count) {
  const PageIndex page = at.page();
  const HbmUse use = UseInHbm(s, step, at);
  const bool split = step.split_slot != kNoSlot && use == HbmUse::kNone;
  if (split && PinnedInHost(s, step, page)) {
    s.blocks.Pin(page, Tier::kHost, count);
    return true;
  }
  if (s.blocks.page(page).copy(Tier::kHbm).state == CopyState::kRetiring) {
    s.blocks.Rescue(page);  // R3: a fault ends the move.
    ++s.metrics.rescued_pages;
  }
  if (s.blocks.page(page).copy(Tier::kHbm).valid()) {
    if (use == HbmUse::kWritten && !SoleCopy(s, page)) return false;
    s.blocks.Pin(page, Tier::kHbm, count);
    return true;
  }
  if (!split || !s.blocks.page(page).copy(Tier::kHost).valid()) return false;
  s.split_pages[step.split_slot][page.value] = true;
  s.blocks.Pin(page, Tier::kHost, count);
  return true;
}

void UnpinPage(CoreState& s, const Step& step, PageIndex page) {
  if (!PinnedInHost(s, step, page)) {
    s.blocks.Unpin(page, Tier::kHbm);
    return;
  }
  s.blocks.Unpin(page, Tier::kHost);
}

void ReleaseSplitSlot(CoreState& s, Step& step) {
  if (step.split_slot == kNoSlot) return;
  std::fill(s.split_pages[step.split_slot].begin(), s.split_pages[step.split_slot].end(), false);
  s.split_in_use[step.split_slot] = false;
  step.split_slot = kNoSlot;
}

bool TakeSplitSlot(CoreState& s, Step& step) {
  if (step.residency != Residency::kSplit) return true;
  for (uint32_t i = 0; i < s.split_in_use.size(); ++i) {
    if (s.split_in_use[i]) continue;
    s.split_in_use[i] = true;
    step.split_slot = i;
    return true;
  }
  return false;
}

}  // namespace kvpager
