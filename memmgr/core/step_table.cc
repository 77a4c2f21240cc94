#include "memmgr/core/step_table.h"

#include <cstdint>

#include "memmgr/base/check.h"

namespace kvpager {

StepTable::StepTable(const Limits& limits)
    : steps_(limits.steps_max), entries_(limits.step_entries_max) {
  slots_free_.reserve(limits.steps_max);
  for (uint32_t slot = limits.steps_max; slot > 0; --slot) slots_free_.push_back(slot - 1);
  for (uint32_t slot = limits.step_entries_max; slot > 0; --slot) {
    entries_[slot - 1].next = entry_free_;
    entry_free_ = slot - 1;
  }
  entries_free_count_ = limits.step_entries_max;
}

uint32_t StepTable::Allocate(uint32_t entries) {
  KVP_CHECK_GT(entries, 0u);
  if (slots_free_.empty() || entries_free_count_ < entries) return kNoSlot;
  const uint32_t slot = slots_free_.back();
  slots_free_.pop_back();
  Step& fresh = steps_[slot];
  fresh = Step{};
  fresh.phase = StepPhase::kWaiting;
  fresh.entries = entries;
  uint32_t* tail = &fresh.entry_first;
  for (uint32_t i = 0; i < entries; ++i) {
    const uint32_t taken = entry_free_;
    entry_free_ = entries_[taken].next;
    entries_[taken] = EntryState{};
    *tail = taken;
    tail = &entries_[taken].next;
  }
  entries_free_count_ -= entries;
  ++open_count_;
  return slot;
}

void StepTable::Free(uint32_t slot) {
  Step& gone = steps_[slot];
  KVP_CHECK(gone.phase != StepPhase::kFree);
  for (uint32_t i = gone.entry_first; i != kNoSlot;) {
    const uint32_t next = entries_[i].next;
    entries_[i].next = entry_free_;
    entry_free_ = i;
    ++entries_free_count_;
    i = next;
  }
  gone.phase = StepPhase::kFree;
  slots_free_.push_back(slot);
  --open_count_;
}

uint32_t StepTable::Find(ClientId client, Ticket ticket) const {
  for (uint32_t slot = 0; slot < steps_.size(); ++slot) {
    const Step& candidate = steps_[slot];
    if (candidate.phase == StepPhase::kFree || candidate.phase == StepPhase::kEnding) continue;
    if (candidate.client == client && candidate.ticket == ticket) return slot;
  }
  return kNoSlot;
}

}  // namespace kvpager
