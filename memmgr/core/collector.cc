#include "memmgr/core/collector.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "memmgr/base/check.h"
#include "memmgr/base/units.h"
#include "memmgr/core/admission.h"
#include "memmgr/core/background.h"
#include "memmgr/core/loss.h"
#include "memmgr/core/pinning.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/quota_stuck.h"
#include "memmgr/core/read_ahead.h"
#include "memmgr/core/room.h"
#include "memmgr/core/step_pages.h"
#include "memmgr/core/step_queue.h"
#include "memmgr/core/steps.h"
#include "memmgr/core/victims.h"

namespace kvpager {
namespace {

constexpr uint32_t kWindowPages = 1024;     // How far ahead of the first missing page copies start.
constexpr uint32_t kFailuresMax = 64;       // Copies that fail for one step before it is given up.
constexpr uint32_t kFartherTriesMax = 256;  // For room from further away, without a page gained.

constexpr uint64_t kTouchIntervalNs = 100'000'000;
constexpr uint32_t kTouchAlwaysBlocks = 1024;

bool SamePlace(const PageCursor& a, const PageCursor& b) {
  return a.entry == b.entry && a.tail_source == b.tail_source && a.position == b.position &&
         a.group == b.group;
}

// What the largest entry alone needs in HBM; 0 of a SPLIT step. Where that does not fit, it is said
// before everything is evicted for it.
uint64_t LargestEntryPages(CoreState& s, const Step& step) {
  uint64_t largest = 0;
  if (step.residency != Residency::kResident) return largest;
  ForEachEntry(s, step, [&](const EntryState& entry, const Sequence& sequence) {
    const uint32_t groups = std::min(entry.range.group_count, s.limits.num_groups);
    const uint32_t read = std::min(entry.range.block_count, sequence.blocks);
    const uint32_t written = sequence.blocks - std::min(sequence.blocks, entry.write_first);
    largest = std::max({largest, uint64_t{read} * groups, uint64_t{written} * s.limits.num_groups});
  });
  return largest;
}

// Makes the next step the collecting one. False if there is none that may start.
bool StartNext(CoreState& s) {
  const uint32_t slot = NextToCollect(s);
  if (slot == kNoSlot) {
    // Nobody competes: past turns do not count for ever.
    ForgetTurns(s);
    return false;
  }
  Step& step = s.steps.step(slot);
  Account(s, step);
  if (WasCut(s, step)) {
    FailStep(s, slot, absl::StatusCode::kDataLoss,
             "a block of the sequence was lost; recompute it");
    return true;
  }
  if (!TakeSplitSlot(s, step)) return false;
  const Refusal refusal = Admit(s, step);
  if (refusal.refused()) {
    ReleaseSplitSlot(s, step);
    FailStep(s, slot, refusal.status, refusal.reason);
    return true;
  }
  const uint64_t pages = LargestEntryPages(s, step);
  const uint32_t max = s.blocks.charges().quota(s.client(step.client).name_space, Tier::kHbm).max;
  if (pages > std::min(max, s.limits.frames_max[TierIndex(Tier::kHbm)])) {
    UndoAdmission(s, step);
    ReleaseSplitSlot(s, step);
    if (pages <= s.limits.frames_max[TierIndex(Tier::kHbm)]) {
      FailForQuota(s, slot,
                   {.limit = QuotaLimit::kMaximum, .quota_pages = max, .needed_pages = pages});
      return true;
    }
    FailStep(
        s, slot, absl::StatusCode::kResourceExhausted,
        "the step reads more pages than hbm has frames; read fewer blocks or groups at a time");
    return true;
  }
  step.phase = StepPhase::kCollecting;
  step.farther_tries = 0;
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
    if (s.blocks.page(at.page()).guarded) s.blocks.SetGuarded(at.page(), false);
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
  if (s.blocks.TakeBack(page)) {
    ++s.metrics.taken_back_pages;
    s.progress = true;  // The next pass pins it.
    return;
  }
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
  if (Place(s, page, Urgency::kDemand)) {
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
    if (++examined > kWindowPages) return;  // Bounds the work, apart from the budget (R10).
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
      s.progress = true;  // The window moves on, perhaps with nothing in flight.
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
  step.host_page_waits = obstacles.host_page_waits;
  step.short_of_hbm = obstacles.no_frame_hbm;
  step.short_of_host = obstacles.no_frame_host;
  step.wants_room = (obstacles.no_frame_hbm || obstacles.no_frame_host) && step.missing > 0;
  if (!step.wants_room) return;
  if (!step.waited_for_room) {
    step.waited_for_room = true;
    ++s.metrics.steps_waited_for_room;
  }
  if (!obstacles.no_frame_hbm) return;
  const auto blocks = static_cast<uint32_t>(CeilDiv(step.missing, s.limits.num_groups));
  if (s.credits.asked() > 0 || RevokeCredits(s, blocks)) return;  // The answer comes at once.
  MakeRoomHbm(s, s.client(step.client).name_space, std::min(step.missing, kMovesMax),
              obstacles.host_page_waits ? Demotion::kSwap : Demotion::kMove, Reach::kNear);
}

}  // namespace

void TouchBlocks(CoreState& s, Sequence& sequence) {
  if (sequence.blocks == 0) return;
  if (sequence.blocks > kTouchAlwaysBlocks && s.now.ns < sequence.touched.ns + kTouchIntervalNs) {
    return;
  }
  sequence.touched = s.now;
  SequenceTable::Walk walk(s.sequences, sequence, sequence.blocks - 1);
  for (; walk.valid(); walk.Previous()) s.blocks.Touch(walk.block());  // Tail before head (R8).
}

namespace {

void MakeReady(CoreState& s, uint32_t slot) {
  Step& step = s.steps.step(slot);
  Account(s, step);
  Dequeue(s, slot);
  if (s.collecting == slot) s.collecting = kNoSlot;
  step.phase = StepPhase::kReady;
  step.wait.promoted_host_pages -=
      std::min(step.wait.promoted_host_pages, step.wait.promoted_nvme_pages);
  CountTurn(s, step);
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
    if (Admit(s, step).refused()) continue;
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

void AbandonCollecting(CoreState& s, uint32_t slot) {
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

void Collect(CoreState& s) {
  PassBy(s);
  while (s.budget > 0 && s.EffectsHaveRoom()) {
    if (s.collecting == kNoSlot) {
      if (StartNext(s)) continue;
      LiftGuards(s);
      return;
    }
    const uint32_t slot = s.collecting;
    Step& step = s.steps.step(slot);
    if (WasCut(s, step)) {
      AbandonCollecting(s, slot);
      ForEachEntry(s, step, [&](const EntryState& entry, const Sequence&) {
        CutIfPossible(s, entry.sequence);
      });
      return;
    }
    Account(s, step);
    if (step.failures > kFailuresMax) {
      AbandonCollecting(s, slot);
      FailStep(s, slot, absl::StatusCode::kUnavailable,
               "copies for this step fail again and again");
      continue;
    }
    if (!step.claimed) Claim(s, step);
    if (!step.claimed) return;
    if (step.missing > 0) FetchMissing(s, step);
    if (step.missing > 0) {
      ReadAhead(s);
      return;
    }
    MakeReady(s, slot);
  }
}

namespace {

// Host memory is full of what can go nowhere, but HBM has room: a page may pass through the
// reserved host frame, which comes back when the page has arrived (R2).
bool FetchThroughReserve(CoreState& s, Step& step) {
  if (step.split_slot != kNoSlot || s.blocks.frames(Tier::kHbm).free_count() == 0) return false;
  for (StepPages at(s, step, step.cursor); at.valid(); at.Next()) {
    const Page& row = s.blocks.page(at.page());
    if (row.claims == 0 || !row.copy(Tier::kNvme).valid()) continue;
    if (!row.copy(Tier::kHbm).absent() || !row.copy(Tier::kHost).absent()) continue;
    if (!Fetch(s, at.page(), Urgency::kStuck)) return false;
    ++step.wait.promoted_nvme_pages;
    return true;
  }
  return false;
}

}  // namespace

namespace {

// What one try moves down in vain may come back by itself, and would be moved again for ever.
bool TriedInVain(Step& step) {
  if (step.missing != step.farther_missing) {
    step.farther_missing = step.missing;
    step.farther_tries = 0;
  }
  return ++step.farther_tries > kFartherTriesMax;
}

}  // namespace

bool TryFarther(CoreState& s, uint32_t slot) {
  if (RevokeCredits(s, s.limits.credits_max)) return true;
  if (!s.guards.empty()) {
    LiftGuards(s);
    s.progress = true;  // Looked at again, with nothing in flight.
    return true;
  }
  Step& step = s.steps.step(slot);
  if (TriedInVain(step)) return false;
  const NamespaceId owner = s.client(step.client).name_space;
  const uint32_t in_flight = s.operations.in_flight_total();
  const uint32_t limbo = s.blocks.limbo().count();
  // Perhaps what may go is only far from the cold end. Host memory only if that helps: what goes
  // there in vain comes back by itself, and would go again.
  const bool own_short = s.blocks.charges().Room(owner, Tier::kHbm) == 0;
  const VictimSearch search{
      .taker = owner, .reach = Reach::kAll, .whose = own_short ? Whose::kOwn : Whose::kAnybodys};
  const bool needs_host =
      step.short_of_host || !s.blocks.charges().any_quota() || FindVictimHbm(s, search).found();
  if (needs_host) MakeRoomHost(s, owner, Reach::kAll);
  MakeRoomHbm(s, owner, 1 + (own_short ? 0 : s.blocks.frames(Tier::kHbm).free_count()),
              step.host_page_waits ? Demotion::kSwap : Demotion::kMove, Reach::kAll);
  if (s.progress || s.operations.in_flight_total() > in_flight ||
      s.blocks.limbo().count() > limbo) {
    return true;
  }
  return FetchThroughReserve(s, step) || LetGoOfPrefetched(s);
}

bool GiveUpIfStuck(CoreState& s) {
  if (s.collecting == kNoSlot || s.AwaitsFrames() || s.job_count > 0) return false;
  if (s.now < s.nvme_write_retry) return false;
  const uint32_t slot = s.collecting;
  if (!s.steps.step(slot).claimed) return false;
  for (uint32_t i = 0; i < s.steps.slots(); ++i) {
    const StepPhase phase = s.steps.step(i).phase;
    if (phase == StepPhase::kReady || phase == StepPhase::kEnding) return false;
  }
  if (TryFarther(s, slot)) return true;
  AbandonCollecting(s, slot);
  FailStep(
      s, slot, absl::StatusCode::kResourceExhausted,
      "the step does not fit: close or suspend sequences, read fewer blocks or groups at a time, "
      "or enlarge hbm, host or nvme");
  return true;
}

void NoteFailure(CoreState& s, PageIndex page) {
  if (s.collecting == kNoSlot || s.blocks.page(page).claims == 0) return;
  ++s.steps.step(s.collecting).failures;
}

}  // namespace kvpager
