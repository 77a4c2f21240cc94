#include "memmgr/core/read_ahead.h"

#include <algorithm>
#include <cstdint>

#include "memmgr/base/check.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/state.h"
#include "memmgr/core/step_queue.h"
#include "memmgr/core/step_table.h"

namespace kvpager {
namespace {

// Behind the collecting one, of its client. So many, because the next steps may have all their
// pages in host memory, and the disk would have nothing to do until those have gone by.
constexpr uint32_t kStepsAhead = 16;
constexpr uint32_t kPagesAhead =
    64;  // Looked at per input; bounds the work, apart from the budget.

// So many keep the disk busy; behind more, what a step is waiting for would have to wait.
uint32_t ReadsWanted(const CoreState& s) {
  return s.limits.in_flight_max[ChannelIndex(Channel::kNvmeToHost)] / 4;
}

void Guard(CoreState& s, PageIndex page) {
  if (s.guards.full()) s.blocks.SetGuarded(s.guards.Pop(), false);
  s.guards.Push(page);
  s.blocks.SetGuarded(page, true);
}

// True if the page needs nothing more; else starts its read, if it can.
bool ReadPage(CoreState& s, Step& step, PageIndex page) {
  const Page& row = s.blocks.page(page);
  const bool below = row.copy(Tier::kHbm).absent() && row.copy(Tier::kHost).absent();
  if (!below || !row.copy(Tier::kNvme).valid()) return true;
  if (s.operations.in_flight(Channel::kNvmeToHost) >= ReadsWanted(s)) return false;
  if (!Fetch(s, page, Urgency::kBackground)) return false;
  ++s.metrics.read_ahead_pages;
  ++step.wait.promoted_nvme_pages;
  Guard(s, page);
  return true;
}

// False when no more can be started, or enough was looked at.
bool ReadEntry(CoreState& s, Step& step, const EntryState& entry, const Sequence& sequence,
               uint32_t& left) {
  const uint64_t range_end = uint64_t{entry.range.block_first} + entry.range.block_count;
  const auto end = static_cast<uint32_t>(std::min<uint64_t>(range_end, sequence.blocks));
  const uint32_t group_end =
      entry.range.group_first +
      std::min(entry.range.group_count, s.limits.num_groups - entry.range.group_first);
  const uint32_t first = std::max(step.ahead_position, entry.range.block_first);
  if (first >= end) return true;
  for (SequenceTable::Walk walk(s.sequences, sequence, first); walk.position() < end; walk.Next()) {
    step.ahead_position = walk.position();
    for (uint32_t group = entry.range.group_first; group < group_end; ++group) {
      if (left == 0 || !ReadPage(s, step, s.blocks.page_of(walk.block(), group))) return false;
      --left;
    }
    if (walk.position() + 1 == end) break;
  }
  return true;
}

// The same of the entries from where the last look ended.
bool ReadStep(CoreState& s, Step& step, uint32_t& left) {
  if (step.ahead_done || !MayStart(s, step) || WasCut(s, step)) return true;
  if (step.ahead_entry == kNoSlot) step.ahead_entry = step.entry_first;
  while (step.ahead_entry != kNoSlot) {
    const EntryState& entry = s.steps.entry(step.ahead_entry);
    if (!ReadEntry(s, step, entry, *s.sequences.Find(entry.sequence), left)) return false;
    step.ahead_entry = entry.next;
    step.ahead_position = 0;
  }
  step.ahead_done = true;
  return true;
}

}  // namespace

void Guards::Push(PageIndex page) {
  KVP_CHECK(!full());
  pages_[(first_ + count_++) % pages_.size()] = page;
}

PageIndex Guards::Pop() {
  KVP_CHECK(!empty());
  const PageIndex page = pages_[first_];
  first_ = static_cast<uint32_t>((first_ + 1) % pages_.size());
  --count_;
  return page;
}

void ReadAhead(CoreState& s) {
  const Step& collecting = s.steps.step(s.collecting);
  if (!collecting.claimed || collecting.wants_room) return;
  uint32_t left = kPagesAhead;
  uint32_t slot = collecting.next;
  for (uint32_t i = 0; i < kStepsAhead && slot != kNoSlot; ++i) {
    if (!ReadStep(s, s.steps.step(slot), left)) return;
    slot = s.steps.step(slot).next;
  }
}

void LiftGuards(CoreState& s) {
  while (!s.guards.empty()) s.blocks.SetGuarded(s.guards.Pop(), false);
}

}  // namespace kvpager
