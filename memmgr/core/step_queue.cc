#include "memmgr/core/step_queue.h"

#include <algorithm>
#include <cstdint>

#include "memmgr/core/admission.h"
#include "memmgr/core/quota_stuck.h"

namespace kvpager {

namespace {

bool Competes(const CoreState& s, NamespaceId name_space) {
  for (const Client& client : s.clients) {
    if (client.unready_first != kNoSlot && client.name_space == name_space) return true;
  }
  return false;
}

}  // namespace

void Enqueue(CoreState& s, uint32_t slot) {
  Client& client = s.client(s.steps.step(slot).client);
  // Turns that nobody asked for are not saved up: else a namespace that was idle could keep the
  // others waiting for as long.
  uint64_t& pages = s.namespace_pages[client.name_space.value];
  if (pages < s.turn_pages && !Competes(s, client.name_space)) pages = s.turn_pages;
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

namespace {

NamespaceId NameSpaceOf(const CoreState& s, const Step& step) {
  return s.clients[step.client.value].name_space;
}

// Steps of the class wait for the one that is parked (quota_stuck.h).
ClassMask ParkedClasses(CoreState& s) {
  ClassMask parked = 0;
  if (!s.blocks.charges().any_quota()) return parked;
  for (const Client& client : s.clients) {
    if (client.unready_first == kNoSlot || client.gone) continue;
    Step& step = s.steps.step(client.unready_first);
    if (!step.parked) continue;
    step.parked = IsParked(s, step);
    if (step.parked) parked |= MaskOf(s.blocks.charges().ClassOf(client.name_space));
  }
  return parked;
}

bool GoesBefore(const CoreState& s, const Step& a, const Step& b) {
  const NamespaceId a_name = NameSpaceOf(s, a);
  const NamespaceId b_name = NameSpaceOf(s, b);
  const Charges& charges = s.blocks.charges();
  if (charges.ClassOf(a_name) == charges.ClassOf(b_name) && a.was_parked != b.was_parked) {
    return a.was_parked;
  }
  const uint64_t a_pages = s.namespace_pages[a_name.value];
  const uint64_t b_pages = s.namespace_pages[b_name.value];
  return a_pages != b_pages ? a_pages < b_pages : a.age < b.age;
}

}  // namespace

uint32_t NextToCollect(CoreState& s) {
  const ClassMask parked = ParkedClasses(s);
  uint32_t best = kNoSlot;
  for (const Client& client : s.clients) {
    const uint32_t slot = client.unready_first;
    if (slot == kNoSlot || client.gone || !MayStart(s, s.steps.step(slot))) continue;
    if ((parked & MaskOf(s.blocks.charges().ClassOf(client.name_space))) != 0) continue;
    if (best == kNoSlot || GoesBefore(s, s.steps.step(slot), s.steps.step(best))) best = slot;
  }
  if (best != kNoSlot) {
    const NamespaceId chosen = NameSpaceOf(s, s.steps.step(best));
    s.turn_pages = std::max(s.turn_pages, s.namespace_pages[chosen.value]);
  }
  return best;
}

void CountTurn(CoreState& s, const Step& step) {
  const NamespaceId name_space = NameSpaceOf(s, step);
  const uint32_t share = s.blocks.charges().share(name_space);
  s.namespace_pages[name_space.value] += uint64_t{step.collected_pages} * kShareMax / share;
}

void ForgetTurns(CoreState& s) {
  std::fill(s.namespace_pages.begin(), s.namespace_pages.end(), 0);
  s.turn_pages = 0;
}

}  // namespace kvpager
