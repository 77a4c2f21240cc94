#include "memmgr/core/step_queue.h"

#include <cstdint>

#include "memmgr/core/admission.h"

namespace kvpager {

void Enqueue(CoreState& s, uint32_t slot) {
  Client& client = s.client(s.steps.step(slot).client);
  if (client.unready_last == kNoSlot) {
    client.unready_first = slot;
  } else {
    s.steps.step(client.unready_last).next = slot;
  }
  client.unready_last = slot;
}

void Dequeue(CoreState& s, uint32_t slot) {
  Client& client = s.client(s.steps.step(slot).client);
  uint32_t before = kNoSlot;
  for (uint32_t i = client.unready_first; i != slot; i = s.steps.step(i).next) before = i;
  const uint32_t after = s.steps.step(slot).next;
  (before == kNoSlot ? client.unready_first : s.steps.step(before).next) = after;
  if (client.unready_last == slot) client.unready_last = before;
  s.steps.step(slot).next = kNoSlot;
}

void Account(CoreState& s, Step& step) {
  const uint64_t elapsed_ns = s.now.ns - step.accounted.ns;
  step.accounted = s.now;
  if (step.phase == StepPhase::kWaiting) {
    step.wait.queue_ns += elapsed_ns;
  } else if (step.wants_room) {
    step.wait.room_ns += elapsed_ns;
  } else if (s.operations.in_flight(Channel::kNvmeToHost) > 0) {
    step.wait.nvme_ns += elapsed_ns;
  } else {
    step.wait.host_ns += elapsed_ns;
  }
}

namespace {

bool OlderDeferred(const CoreState& s, SequenceId id, uint64_t age) {
  for (uint32_t i = s.deferred_first; i != kNoSlot; i = s.deferred[i].next) {
    if (s.deferred[i].sequence == id && s.deferred[i].order < age) return true;
  }
  return false;
}

}  // namespace

bool MayStart(CoreState& s, const Step& step) {
  bool may = true;
  ForEachEntry(s, step, [&](const EntryState& entry, const Sequence& sequence) {
    if (sequence.busy > 0 || sequence.cut_blocks != kNotCut) may = false;
    if (sequence.steps_ready > 0 && ReplacesTail(s, step, entry, sequence)) may = false;
    if (sequence.deferred > 0 && OlderDeferred(s, entry.sequence, step.age)) may = false;
  });
  return may;
}

bool WasCut(CoreState& s, const Step& step) {
  bool cut = false;
  ForEachEntry(s, step, [&](const EntryState& entry, const Sequence& sequence) {
    cut |= entry.losses != sequence.losses;
  });
  return cut;
}

uint32_t NextToCollect(CoreState& s) {
  uint32_t best = kNoSlot;
  for (const Client& client : s.clients) {
    const uint32_t slot = client.unready_first;
    if (slot == kNoSlot || client.gone || !MayStart(s, s.steps.step(slot))) continue;
    if (best == kNoSlot) {
      best = slot;
      continue;
    }
    const Step& a = s.steps.step(slot);
    const Step& b = s.steps.step(best);
    const uint64_t a_pages = s.namespace_pages[s.client(a.client).name_space.value];
    const uint64_t b_pages = s.namespace_pages[s.client(b.client).name_space.value];
    if (a_pages != b_pages ? a_pages < b_pages : a.age < b.age) best = slot;
  }
  return best;
}

}  // namespace kvpager
