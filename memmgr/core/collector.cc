#include "memmgr/core/collector.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "memmgr/base/check.h"
#include "memmgr/core/admission.h"
#include "memmgr/core/loss.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/step_pages.h"

namespace kvpager {
namespace {

constexpr uint32_t kWindowPages = 1024;  // How far ahead of the first missing page copies start.
constexpr uint32_t kFailuresMax = 64;    // Copies that fail for one step before it is given up.
constexpr uint32_t kMovesMax = 64;       // Moves out of HBM under way for one step.
constexpr uint64_t kTouchIntervalNs = 100'000'000;
constexpr uint32_t kTouchAlwaysBlocks = 1024;

// ---- The queue of a client's unready steps

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

template <typename Visit>
void ForEachEntry(CoreState& s, const Step& step, Visit visit) {
  for (uint32_t i = step.entry_first; i != kNoSlot;) {
    EntryState& entry = s.steps.entry(i);
    i = entry.next;
    visit(entry, *s.sequences.Find(entry.sequence));
  }
}

// ---- Time

// Charges the time since the last look to what the step was waiting for.
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

// ---- Pinning

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

// Pins the page `count` times if it is where the step needs it.
bool PinIfThere(CoreState& s, Step& step, const StepPages& at, uint16_t count) {
  const PageIndex page = at.page();
  const bool split = step.split_slot != kNoSlot && !at.writes() && !at.is_tail_source();
  if (split && PinnedInHost(s, step, page)) {
    s.blocks.Pin(page, Tier::kHost, count);
    return true;
  }
  if (s.blocks.page(page).copy(Tier::kHbm).state == CopyState::kRetiring) {
    s.blocks.Rescue(page);  // R3: a fault ends the move.
    ++s.metrics.rescued_pages;
  }
  if (s.blocks.page(page).copy(Tier::kHbm).valid()) {
    if (at.writes() && !SoleCopy(s, page)) return false;
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

bool SamePlace(const PageCursor& a, const PageCursor& b) {
  return a.entry == b.entry && a.tail_source == b.tail_source && a.position == b.position &&
         a.group == b.group;
}

// Gives back every pin and claim, and what admission did. The step waits again.
void Abandon(CoreState& s, uint32_t slot) {
  Step& step = s.steps.step(slot);
  KVP_CHECK(step.phase == StepPhase::kCollecting);
  Account(s, step);
  for (StepPages at(s, step, StepPages::Start(step)); at.valid(); at.Next()) {
    if (!step.claimed && SamePlace(at.cursor(), step.claim_cursor)) break;
    if (s.blocks.page(at.page()).claims > 0) {
      s.blocks.RemoveClaim(at.page());
      --step.missing;
    } else {
      UnpinPage(s, step, at.page());
    }
  }
  KVP_CHECK_EQ(step.missing, 0u);
  UndoAdmission(s, step);
  ReleaseSplitSlot(s, step);
  step.phase = StepPhase::kWaiting;
  step.wants_room = false;
  s.collecting = kNoSlot;
  s.progress = true;
}

// Ends a waiting step without success.
void Fail(CoreState& s, uint32_t slot, absl::StatusCode status, std::string_view reason) {
  Step& step = s.steps.step(slot);
  KVP_CHECK(step.phase == StepPhase::kWaiting);
  Dequeue(s, slot);
  Reply& reply = s.Answer(step.client, step.request, status, reason);
  reply.kind = ReplyKind::kStepReady;
  reply.ticket = step.ticket;
  reply.wait = step.wait;
  ForEachEntry(s, step, [&](EntryState& entry, Sequence& sequence) {
    --sequence.steps;
    if (status == absl::StatusCode::kDataLoss && entry.losses != sequence.losses) {
      s.AttachUpdate(reply, entry.sequence, sequence.length_tokens, sequence.blocks);
    }
    CutIfPossible(s, entry.sequence);
  });
  if (status == absl::StatusCode::kDataLoss) ++s.metrics.steps_lost;
  --s.client(step.client).steps;
  s.steps.Free(slot);
  s.progress = true;
}

// ---- Whose turn

bool OlderDeferred(const CoreState& s, SequenceId id, uint64_t age) {
  for (uint32_t i = s.deferred_first; i != kNoSlot; i = s.deferred[i].next) {
    if (s.deferred[i].sequence == id && s.deferred[i].order < age) return true;
  }
  return false;
}

// Nothing that was asked for earlier still has to happen to its sequences.
bool MayStart(CoreState& s, const Step& step) {
  bool may = true;
  ForEachEntry(s, step, [&](const EntryState& entry, const Sequence& sequence) {
    if (sequence.busy > 0 || sequence.cut_blocks != kNotCut) may = false;
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

// The waiting step whose namespace has collected least, then the oldest (R1).
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

// One entry alone would not fit in an empty HBM: better said before everything is evicted for it.
bool FitsAtAll(CoreState& s, const Step& step) {
  const uint32_t frames = s.limits.frames_max[TierIndex(Tier::kHbm)];
  bool fits = true;
  ForEachEntry(s, step, [&](const EntryState& entry, const Sequence& sequence) {
    const uint32_t groups = std::min(entry.range.group_count, s.limits.num_groups);
    const uint32_t read = std::min(entry.range.block_count, sequence.blocks);
    const uint32_t written = sequence.blocks - std::min(sequence.blocks, entry.write_first);
    const uint64_t pages =
        std::max(uint64_t{read} * groups, uint64_t{written} * s.limits.num_groups);
    if (step.residency == Residency::kResident && pages > frames) fits = false;
  });
  return fits;
}

// Makes the next step the collecting one. False if there is none that may start.
bool StartNext(CoreState& s) {
  const uint32_t slot = NextToCollect(s);
  if (slot == kNoSlot) {
    // Nobody competes: past turns do not count for ever.
    std::fill(s.namespace_pages.begin(), s.namespace_pages.end(), 0);
    return false;
  }
  Step& step = s.steps.step(slot);
  Account(s, step);
  if (WasCut(s, step)) {
    Fail(s, slot, absl::StatusCode::kDataLoss, "a block of the sequence was lost; recompute it");
    return true;
  }
  if (!TakeSplitSlot(s, step)) return false;
  const std::string_view problem = Admit(s, step);
  if (!problem.empty()) {
    ReleaseSplitSlot(s, step);
    Fail(s, slot, absl::StatusCode::kResourceExhausted, problem);
    return true;
  }
  if (!FitsAtAll(s, step)) {
    UndoAdmission(s, step);
    ReleaseSplitSlot(s, step);
    Fail(s, slot, absl::StatusCode::kResourceExhausted,
         "the step reads more pages than hbm has frames; read fewer blocks or groups at a time");
    return true;
  }
  step.phase = StepPhase::kCollecting;
  step.claimed = false;
  step.claim_cursor = StepPages::Start(step);
  step.cursor = step.claim_cursor;
  s.collecting = slot;
  return true;
}

// ---- Collecting

void Claim(CoreState& s, Step& step) {
  StepPages at(s, step, step.claim_cursor);
  for (; at.valid(); at.Next()) {
    step.claim_cursor = at.cursor();
    if (!s.Spend()) return;
    if (s.blocks.page(at.page()).claims == 0 && PinIfThere(s, step, at, 1)) continue;
    s.blocks.AddClaim(at.page());
    ++step.missing;
  }
  step.claimed = true;
}

// What one pass over the missing pages ran into.
struct Obstacles {
  bool no_frame_hbm = false;
  bool no_frame_host = false;
  bool host_page_waits = false;  // For a frame in HBM: a swap may help (R2).
};

void FetchPage(CoreState& s, Step& step, const StepPages& at, Obstacles& obstacles) {
  const PageIndex page = at.page();
  const Page& row = s.blocks.page(page);
  if (!row.copy(Tier::kHbm).absent()) return;  // On its way, or about to be the only copy.
  if (row.copy(Tier::kHost).valid()) {
    if (obstacles.no_frame_hbm) {
      obstacles.host_page_waits = true;
    } else if (Promote(s, page, Urgency::kDemand)) {
      ++step.wait.promoted_host_pages;
      ++step.collected_pages;
    } else if (s.operations.HasRoom(Channel::kHostToHbm)) {
      obstacles.no_frame_hbm = true;
      obstacles.host_page_waits = true;
    }
    return;
  }
  if (!row.copy(Tier::kHost).absent() || !row.copy(Tier::kNvme).valid()) return;
  if (obstacles.no_frame_host) return;
  if (Fetch(s, page, Urgency::kDemand)) {
    ++step.wait.promoted_nvme_pages;
  } else if (s.operations.HasRoom(Channel::kNvmeToHost)) {
    obstacles.no_frame_host = true;
  }
}

// A new page: a copy of the tail it continues, or an empty frame.
void PlacePage(CoreState& s, Step& step, const StepPages& at, Obstacles& obstacles) {
  const PageIndex page = at.page();
  if (at.block() == at.entry().tail_target) {
    const PageIndex source = s.blocks.page_of(at.entry().tail_source, s.blocks.group_of(page));
    if (!s.blocks.page(source).copy(Tier::kHbm).valid()) return;
    if (CopyTail(s, source, page)) {
      ++step.collected_pages;
    } else if (s.operations.HasRoom(Channel::kHbmToHbm)) {
      obstacles.no_frame_hbm = true;
    }
    return;
  }
  if (Place(s, page)) {
    ++step.collected_pages;
  } else if (s.operations.HasRoom(Channel::kScrub)) {
    obstacles.no_frame_hbm = true;
  }
}

bool IsNew(const CoreState& s, PageIndex page) {
  const Page& row = s.blocks.page(page);
  for (const Copy& copy : row.copies) {
    if (!copy.absent()) return false;
  }
  return s.blocks.block(s.blocks.block_of(page)).phase == BlockPhase::kOpen;
}

// Satisfies or starts what it can within the window. `place`: new pages, else those that exist.
void Pass(CoreState& s, Step& step, bool place, Obstacles& obstacles) {
  bool front = true;  // Everything before is satisfied.
  uint32_t examined = 0;
  for (StepPages at(s, step, step.cursor); at.valid() && step.missing > 0; at.Next()) {
    const PageIndex page = at.page();
    if (front) step.cursor = at.cursor();
    if (s.blocks.page(page).claims == 0) continue;
    if (++examined > kWindowPages || !s.Spend()) return;
    const uint16_t claims = s.blocks.page(page).claims;
    bool pinned = PinIfThere(s, step, at, claims);
    if (!pinned && IsNew(s, page)) {
      if (place) PlacePage(s, step, at, obstacles);
      pinned = PinIfThere(s, step, at, claims);
    } else if (!pinned && !place) {
      FetchPage(s, step, at, obstacles);
    }
    if (pinned) {
      s.blocks.TakeClaims(page);
      step.missing -= claims;
    } else {
      front = false;
    }
    if (place && obstacles.no_frame_hbm) return;
  }
}

// Nearest first (R4): what is in host memory, then NVMe, then new pages, which any frame will do
// for.
void FetchMissing(CoreState& s, Step& step) {
  Obstacles obstacles;
  Pass(s, step, /*place=*/false, obstacles);
  if (!obstacles.host_page_waits) Pass(s, step, /*place=*/true, obstacles);
  step.wants_room = (obstacles.no_frame_hbm || obstacles.no_frame_host) && step.missing > 0;
  if (!step.wants_room) return;
  if (!step.waited_for_room) {
    step.waited_for_room = true;
    ++s.metrics.steps_waited_for_room;
  }
  if (!obstacles.no_frame_hbm) return;
  MakeRoomHbm(s, std::min(step.missing, kMovesMax),
              obstacles.host_page_waits ? Demotion::kSwap : Demotion::kMove, Reach::kNear);
}

void TouchBlocks(CoreState& s, Sequence& sequence) {
  if (sequence.blocks == 0) return;
  if (sequence.blocks > kTouchAlwaysBlocks && s.now.ns < sequence.touched.ns + kTouchIntervalNs) {
    return;
  }
  sequence.touched = s.now;
  SequenceTable::Walk walk(s.sequences, sequence, sequence.blocks - 1);
  for (; walk.valid(); walk.Previous()) s.blocks.Touch(walk.block());  // Tail before head (R8).
}

void MakeReady(CoreState& s, uint32_t slot) {
  Step& step = s.steps.step(slot);
  Account(s, step);
  Dequeue(s, slot);
  if (s.collecting == slot) s.collecting = kNoSlot;
  step.phase = StepPhase::kReady;
  step.wait.promoted_host_pages -=
      std::min(step.wait.promoted_host_pages, step.wait.promoted_nvme_pages);
  s.namespace_pages[s.client(step.client).name_space.value] += step.collected_pages;
  ++s.metrics.steps_ready;
  if (step.began_input == s.inputs) ++s.metrics.steps_ready_at_once;
  Reply& reply = s.Answer(step.client, step.request, absl::StatusCode::kOk, "");
  reply.kind = ReplyKind::kStepReady;
  reply.ticket = step.ticket;
  reply.wait = step.wait;
  ForEachEntry(s, step, [&](EntryState& entry, Sequence& sequence) {
    ++sequence.steps_ready;
    SequenceTable::Walk walk(s.sequences, sequence, std::min(entry.write_first, sequence.blocks));
    for (; walk.valid(); walk.Next()) ++s.blocks.block(walk.block()).write_pins;
    TouchBlocks(s, sequence);
    if (entry.append_tokens == 0) return;
    const uint32_t changed = entry.tail_target.is_none() ? entry.blocks_before : entry.write_first;
    s.AttachUpdate(reply, entry.sequence, entry.length_after_tokens, changed);
  });
  s.progress = true;
}

// ---- Steps that need no frame pass by

bool NeedsNoFrame(CoreState& s, const Step& step) {
  if (step.residency != Residency::kResident || !AppendsInPlace(s, step)) return false;
  uint64_t pages = 0;
  ForEachEntry(s, step, [&](const EntryState&, const Sequence& sequence) {
    pages += uint64_t{sequence.blocks} * s.limits.num_groups;
  });
  return pages < s.budget;
}

bool AllThere(CoreState& s, Step& step) {
  for (StepPages at(s, step, StepPages::Start(step)); at.valid(); at.Next()) {
    s.Spend();
    const Page& row = s.blocks.page(at.page());
    const CopyState hbm = row.copy(Tier::kHbm).state;
    if (hbm != CopyState::kValid && hbm != CopyState::kRetiring) return false;
    if (row.claims > 0) return false;  // The collecting step goes first.
    const Copy& host = row.copy(Tier::kHost);
    if (at.writes() && !host.absent() && !host.idle()) return false;
  }
  return true;
}

void PassBy(CoreState& s) {
  for (Client& client : s.clients) {
    const uint32_t slot = client.unready_first;
    if (slot == kNoSlot || client.gone || s.collecting == slot) continue;
    Step& step = s.steps.step(slot);
    if (step.passed_over || !MayStart(s, step) || WasCut(s, step)) continue;
    if (!s.EffectsHaveRoom() || !NeedsNoFrame(s, step)) continue;
    step.passed_over = true;
    if (!Admit(s, step).empty()) continue;
    if (!AllThere(s, step)) {
      UndoAdmission(s, step);
      continue;
    }
    for (StepPages at(s, step, StepPages::Start(step)); at.valid(); at.Next()) {
      const bool pinned = PinIfThere(s, step, at, 1);
      KVP_CHECK(pinned);
    }
    step.claimed = true;
    MakeReady(s, slot);
  }
}

}  // namespace

// ---- Inputs
// --------------------------------------------------------------------------------------

namespace {

// Empty if the step may be queued.
std::string_view CheckEntries(CoreState& s, ClientId client, const StepBeginCommand& body,
                              absl::StatusCode* status) {
  *status = absl::StatusCode::kInvalidArgument;
  if (body.entries.empty()) return "a step needs at least one sequence";
  if (body.entries.size() > s.limits.step_entries_per_step_max) {
    return "too many sequences in one step; split the batch";
  }
  const uint64_t pass = ++s.passes;
  uint64_t pages_appended = 0;
  for (const StepEntry& entry : body.entries) {
    Sequence* sequence = s.sequences.Find(entry.sequence);
    if (sequence == nullptr || sequence->client != client ||
        sequence->phase != SequencePhase::kOpen) {
      *status = absl::StatusCode::kNotFound;
      return "no such sequence";
    }
    if (sequence->mark == pass) return "a sequence is named twice in one step";
    sequence->mark = pass;
    if (sequence->suspended) {
      *status = absl::StatusCode::kFailedPrecondition;
      return "the sequence is suspended; resume it first";
    }
    pages_appended +=
        (uint64_t{entry.append_tokens} / s.limits.page_tokens + 2) * s.limits.num_groups;
    if (entry.append_tokens > 0 && pages_appended > 2 * s.limits.pages_per_input) {
      return "too many tokens appended in one step; split the prefill";
    }
  }
  return "";
}

}  // namespace

void BeginStep(CoreState& s, const Command& command, const StepBeginCommand& body) {
  Client& client = s.client(command.client);
  auto refuse = [&](absl::StatusCode status, std::string_view reason) {
    Reply& reply = s.Answer(command.client, command.request, status, reason);
    reply.kind = ReplyKind::kStepReady;
    reply.ticket = body.ticket;
  };
  if (body.ticket.lane >= kLanesMax || body.ticket.number <= client.begun[body.ticket.lane]) {
    refuse(absl::StatusCode::kInvalidArgument, "step numbers of a lane must grow");
    return;
  }
  absl::StatusCode status;
  const std::string_view problem = CheckEntries(s, command.client, body, &status);
  if (!problem.empty()) {
    refuse(status, problem);
    return;
  }
  const uint32_t slot = s.steps.Allocate(static_cast<uint32_t>(body.entries.size()));
  if (slot == kNoSlot) {
    refuse(absl::StatusCode::kResourceExhausted, "too many steps at once; end some first");
    return;
  }
  client.begun[body.ticket.lane] = body.ticket.number;
  Step& step = s.steps.step(slot);
  step.client = command.client;
  step.ticket = body.ticket;
  step.request = command.request;
  step.residency = body.residency;
  step.age = ++s.order;
  step.began_input = s.inputs;
  step.began = step.accounted = s.now;
  uint32_t i = step.entry_first;
  for (const StepEntry& wish : body.entries) {
    EntryState& entry = s.steps.entry(i);
    entry.sequence = wish.sequence;
    entry.range = wish.range;
    entry.append_tokens = wish.append_tokens;
    entry.draft = wish.draft;
    entry.rewrite_from_tokens = wish.rewrite_from_tokens;
    Sequence& sequence = *s.sequences.Find(wish.sequence);
    entry.losses = sequence.losses;
    ++sequence.steps;
    i = entry.next;
  }
  ++client.steps;
  ++s.metrics.steps_begun;
  Enqueue(s, slot);
}

void EndStep(CoreState& s, const Command& command, const StepEndCommand& body) {
  const uint32_t slot = s.steps.Find(command.client, body.ticket);
  if (slot == kNoSlot) {
    s.Answer(command.client, command.request, absl::StatusCode::kNotFound, "no such step");
    return;
  }
  if (s.steps.step(slot).phase != StepPhase::kReady) {
    s.Answer(command.client, command.request, absl::StatusCode::kFailedPrecondition,
             "the step is not ready; cancel it instead");
    return;
  }
  if (!s.TicketPassed(command.client, {body.ticket.lane, body.ticket.number - 1})) {
    s.Answer(command.client, command.request, absl::StatusCode::kFailedPrecondition,
             "an older step of the lane has not ended");
    return;
  }
  AbortStep(s, slot);
  s.Answer(command.client, command.request, absl::StatusCode::kOk, "");
}

void CancelStep(CoreState& s, const Command& command, const StepCancelCommand& body) {
  const uint32_t slot = s.steps.Find(command.client, body.ticket);
  if (slot == kNoSlot) {
    s.Answer(command.client, command.request, absl::StatusCode::kNotFound, "no such step");
    return;
  }
  if (s.steps.step(slot).phase == StepPhase::kReady) {
    s.Answer(command.client, command.request, absl::StatusCode::kFailedPrecondition,
             "the step is ready; end it instead");
    return;
  }
  if (s.collecting == slot) Abandon(s, slot);
  Account(s, s.steps.step(slot));
  Fail(s, slot, absl::StatusCode::kAborted, "the step was cancelled");
  s.Answer(command.client, command.request, absl::StatusCode::kOk, "");
}

void Collect(CoreState& s) {
  PassBy(s);
  while (s.budget > 0 && s.EffectsHaveRoom()) {
    if (s.collecting == kNoSlot) {
      if (!StartNext(s)) return;
      continue;
    }
    const uint32_t slot = s.collecting;
    Step& step = s.steps.step(slot);
    if (WasCut(s, step)) {
      Abandon(s, slot);
      ForEachEntry(s, step, [&](const EntryState& entry, const Sequence&) {
        CutIfPossible(s, entry.sequence);
      });
      return;
    }
    Account(s, step);
    if (step.failures > kFailuresMax) {
      Abandon(s, slot);
      Fail(s, slot, absl::StatusCode::kUnavailable, "copies for this step fail again and again");
      continue;
    }
    if (!step.claimed) Claim(s, step);
    if (!step.claimed) return;
    if (step.missing > 0) FetchMissing(s, step);
    if (step.missing > 0) return;
    MakeReady(s, slot);
  }
}

bool GiveUpIfStuck(CoreState& s) {
  if (s.collecting == kNoSlot || s.operations.in_flight_total() > 0 || s.job_count > 0)
    return false;
  if (s.now < s.nvme_write_retry) return false;
  const uint32_t slot = s.collecting;
  if (!s.steps.step(slot).claimed) return false;
  for (uint32_t i = 0; i < s.steps.slots(); ++i) {
    const StepPhase phase = s.steps.step(i).phase;
    if (phase == StepPhase::kReady || phase == StepPhase::kEnding) return false;
  }
  // Perhaps what may go is only far from the cold end.
  MakeRoomHost(s, Reach::kAll);
  MakeRoomHbm(s, 1 + s.blocks.frames(Tier::kHbm).free_count(), Demotion::kSwap, Reach::kAll);
  if (s.operations.in_flight_total() > 0 || s.progress) return true;
  Abandon(s, slot);
  Fail(s, slot, absl::StatusCode::kResourceExhausted,
       "the step does not fit: close or suspend sequences, read fewer blocks or groups at a time, "
       "or enlarge hbm, host or nvme");
  return true;
}

void AbortStep(CoreState& s, uint32_t slot) {
  if (s.collecting == slot) Abandon(s, slot);
  Step& step = s.steps.step(slot);
  if (step.phase == StepPhase::kWaiting) {
    Fail(s, slot, absl::StatusCode::kAborted, "the engine is gone");
    return;
  }
  if (step.phase != StepPhase::kReady) return;
  step.phase = StepPhase::kEnding;
  step.cursor = StepPages::Start(step);
  ForEachEntry(s, step, [&](const EntryState&, Sequence& sequence) { ++sequence.busy; });
  s.PushJob({.kind = JobKind::kEndStep, .client = step.client, .step = slot});
}

bool RunEndStep(CoreState& s, uint32_t slot) {
  Step& step = s.steps.step(slot);
  for (StepPages at(s, step, step.cursor); at.valid(); at.Next()) {
    step.cursor = at.cursor();
    if (!s.Spend()) return false;
    UnpinPage(s, step, at.page());
  }
  ForEachEntry(s, step, [&](EntryState& entry, Sequence& sequence) {
    --sequence.steps;
    --sequence.steps_ready;
    --sequence.busy;
    const auto blocks_end = static_cast<uint32_t>(
        (entry.length_after_tokens + s.limits.page_tokens - 1) / s.limits.page_tokens);
    SequenceTable::Walk walk(s.sequences, sequence, std::min(entry.write_first, sequence.blocks));
    for (; walk.valid() && walk.position() < blocks_end; walk.Next()) {
      KVP_CHECK_GT(s.blocks.block(walk.block()).write_pins, 0);
      --s.blocks.block(walk.block()).write_pins;
    }
    if (entry.append_tokens > 0 && !entry.draft) {
      const auto accepted = static_cast<uint32_t>(sequence.accepted_tokens / s.limits.page_tokens);
      sequence.accepted_tokens = std::max(sequence.accepted_tokens, entry.length_after_tokens);
      SealAccepted(s, sequence, std::min(accepted, entry.write_first));
    }
    if (!entry.tail_source.is_none()) DropReference(s, entry.tail_source);
    CutIfPossible(s, entry.sequence);
  });
  ReleaseSplitSlot(s, step);
  --s.client(step.client).steps;
  s.steps.Free(slot);
  s.progress = true;
  return true;
}

void NoteFailure(CoreState& s, PageIndex page) {
  if (s.collecting == kNoSlot || s.blocks.page(page).claims == 0) return;
  ++s.steps.step(s.collecting).failures;
}

void SealAccepted(CoreState& s, Sequence& sequence, uint32_t position_first) {
  SequenceTable::Walk walk(s.sequences, sequence, std::min(position_first, sequence.blocks));
  for (; walk.valid(); walk.Next()) {
    if ((uint64_t{walk.position()} + 1) * s.limits.page_tokens > sequence.accepted_tokens) return;
    const Block& block = s.blocks.block(walk.block());
    if (block.phase != BlockPhase::kOpen || block.write_pins > 0) continue;
    if (block.filled_tokens == s.limits.page_tokens) s.blocks.Seal(walk.block());
  }
}

void DropReference(CoreState& s, BlockIndex index) {
  s.blocks.RemoveReference(index);
  const Block& block = s.blocks.block(index);
  if (block.references > 0) return;
  s.blocks.SetMovable(index, false);
  if (!block.named) Discard(s, index);
}

}  // namespace kvpager
