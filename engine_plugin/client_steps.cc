// engine_plugin/client_steps.cc
//
// Steps: begin, wait, view, end.

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine_plugin/client.h"
#include "engine_plugin/view.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"

namespace kvpager::engine {
namespace {

constexpr size_t kSpareStepsMax = 4;    // Batches that may be repeated, in any order.
constexpr size_t kPrefetchEntries = 8;  // That many ahead, a sequence is asked for.

absl::Status BadEntry(size_t index, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("entry ", index, ": ", what));
}

// Ok, or why nothing may be built on the sequence yet: an open step of it failed and took tokens
// with it, and until the caller has ended that step we cannot know that it knows.
absl::Status CheckNoFailedStep(size_t index, const Sequence& sequence) {
  for (const Step* step : sequence.open_steps()) {
    const bool failed = step->state() == StepState::kFailed;
    absl::Status why = failed ? step->failure() : step->dropped_why();
    if (why.ok()) continue;
    for (const StepEntry& entry : step->entries()) {
      if (entry.sequence != &sequence) continue;
      const bool lost = absl::IsDataLoss(why) || entry.request->append_tokens > 0;
      if (!entry.dropped || !lost) continue;
      return absl::AbortedError(absl::StrCat(
          "entry ", index, ": step ", step->ticket().number, " of lane ", step->ticket().lane,
          " has failed and its tokens of this sequence are gone (", why.message(),
          "); end it with discard, ask for the length, then begin again"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Step*> Client::BeginStep(uint32_t lane, StepResidency residency,
                                        absl::Span<const StepEntryRequest> entries) {
  KVP_CHECK_LT(lane, kLaneCount);
  KVP_RETURN_IF_ERROR(NotRevoked());
  KVP_RETURN_IF_ERROR(message_free_ ? AliveLately() : Alive());
  if (residency == StepResidency::kResident) {
    if (Step* const again = BeginAgain(lane, entries); again != nullptr) return again;
  }
  KVP_ASSIGN_OR_RETURN(std::unique_ptr<Step> checked, CheckEntries(lane, entries));
  return BeginChecked(lane, residency, std::move(checked), kNoRewrite);
}

absl::StatusOr<std::unique_ptr<Step>> Client::CheckEntries(
    uint32_t lane, absl::Span<const StepEntryRequest> entries) {
  if (entries.empty()) return absl::InvalidArgumentError("a step needs at least one entry");
  if (entries.size() > pool().entries_per_step_max) {
    return absl::InvalidArgumentError(
        absl::StrCat(entries.size(), " entries in one step; this pool allows ",
                     pool().entries_per_step_max, ": split the batch"));
  }
  std::unique_ptr<Step> step = SpareStep();
  step->asked.assign(entries.begin(), entries.end());
  std::vector<StepEntry>& checked = step->entries();
  checked.resize(entries.size());
  const uint64_t check = step->check = step->checks_seen = ++checks_;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i + kPrefetchEntries < entries.size()) {
      sequences_.Prefetch(entries[i + kPrefetchEntries].seq);
    }
    Sequence* sequence = FindByHandle(entries[i].seq);
    if (sequence == nullptr || !sequence->is_sound()) {
      KVP_ASSIGN_OR_RETURN(sequence, UsableAsKnown(entries[i].seq));
    }
    if (std::exchange(sequence->named_in, check) == check) {
      return BadEntry(
          i, absl::StrCat("sequence ", entries[i].seq, " is in this step already; name it once"));
    }
    if (sequence->id() == 0) {
      KVP_RETURN_IF_ERROR(Resolve(sequence, Deadline::AfterUs(timeout_us_)));
    }
    KVP_RETURN_IF_ERROR(CheckEntry(lane, i, entries[i], *sequence));
    checked[i].request = &step->asked[i];
    checked[i].sequence = sequence;
  }
  // Lengths last: while forks were waited for above, losses may have come in.
  for (StepEntry& entry : checked) {
    entry.Place(entry.sequence->length_tokens(), geometry_.page_tokens);
    entry.sequence->PrefetchBlockList();
  }
  return step;
}

std::unique_ptr<Step> Client::SpareStep() {
  if (spare_steps_.size() < kSpareStepsMax) return std::make_unique<Step>();
  Settle();
  std::unique_ptr<Step> step =
      std::move(spare_steps_.front());  // The one that was of use longest ago.
  spare_steps_.erase(spare_steps_.begin());
  step->Clear();
  return step;
}

void Client::Spare(std::unique_ptr<Step> step) {
  if (spare_steps_.size() == kSpareStepsMax) {
    Settle();
    spare_steps_.erase(spare_steps_.begin());
  }
  spare_steps_.push_back(std::move(step));
}

absl::Status Client::CheckEntry(uint32_t lane, size_t index, const StepEntryRequest& entry,
                                const Sequence& sequence) const {
  if (sequence.suspended) {
    return absl::FailedPreconditionError(
        absl::StrCat("entry ", index, ": the sequence is suspended; resume it first"));
  }
  if (sequence.in_step()) {
    if (sequence.newest_ticket().lane != lane) {
      return absl::FailedPreconditionError(absl::StrCat(
          "entry ", index, ": the sequence is in a step of lane ", sequence.newest_ticket().lane,
          "; steps overlap on one lane only: use that one, or end the step first"));
    }
    KVP_RETURN_IF_ERROR(CheckNoFailedStep(index, sequence));
  }
  if (entry.draft > 1) {
    return BadEntry(index, absl::StrCat("draft is ", entry.draft, "; it must be 0 or 1"));
  }
  if (entry.first_group >= pool().num_groups) {
    return BadEntry(index, absl::StrCat("first_group ", entry.first_group, " of a pool with ",
                                        pool().num_groups, " groups"));
  }
  if (entry.num_groups == 0) {
    return BadEntry(index, "num_groups is 0; KVP_ALL means all of them");
  }
  if (entry.num_blocks == 0 && entry.append_tokens == 0) {
    return BadEntry(index, "num_blocks is 0 and nothing is appended; KVP_ALL means all of them");
  }
  const uint64_t end_tokens = sequence.length_tokens() + entry.append_tokens;
  if (end_tokens > uint64_t{pool().blocks_max} * geometry_.page_tokens) {
    return absl::ResourceExhaustedError(
        absl::StrCat("entry ", index, ": a sequence of ", end_tokens, " tokens needs ",
                     CeilDiv(end_tokens, geometry_.page_tokens),
                     " blocks; all tiers of this pool together have ", pool().blocks_max));
  }
  return absl::OkStatus();
}

absl::StatusOr<Step*> Client::BeginChecked(uint32_t lane, StepResidency residency,
                                           std::unique_ptr<Step> made,
                                           uint64_t rewrite_from_tokens) {
  if (lanes_.open_count() >= kStepsOpenMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kStepsOpenMax, " steps of this client are open; end some of them"));
  }
  const bool message_free = MayRunMessageFree(residency, made.get(), rewrite_from_tokens) &&
                            TryMessageFree(lane, made.get());
  if (!message_free) {
    for (const StepEntry& entry : made->entries()) KVP_RETURN_IF_ERROR(Report(entry.sequence));
    made->Begin(lanes_.NextTicket(lane), residency);
    KVP_ASSIGN_OR_RETURN(made->request, SendStepBegin(made.get(), rewrite_from_tokens));
    for (StepEntry& entry : made->entries()) {
      entry.sequence->set_told_tokens(entry.end_tokens());
      if (entry.request->draft != 0) entry.sequence->GiveUpTail();
      entry.tail_changes = entry.sequence->tail_changes();
    }
  }
  Step* step = lanes_.Add(std::move(made));
  step->changes = changes();
  if (message_free) {
    Defer(step);
    return step;
  }
  for (const StepEntry& entry : step->entries()) {
    entry.sequence->set_length_tokens(entry.end_tokens());
  }
  List(step);
  return step;
}

absl::Status Client::WaitStep(Step* step, uint64_t timeout_us) {
  if (is_undisturbed(step)) return NotRevoked();
  const Deadline deadline = Deadline::AfterUs(timeout_us);
  while (step->state() == StepState::kPending) {
    const absl::Status taken = TakeInOne(deadline);
    if (absl::IsDeadlineExceeded(taken)) {
      return absl::DeadlineExceededError(
          absl::StrCat("the step is not ready after ", timeout_us,
                       " us; wait again, end other steps, or end this one with discard"));
    }
    KVP_RETURN_IF_ERROR(taken);
  }
  return OutcomeOf(step);
}

absl::Status Client::OutcomeOf(const Step* step) {
  KVP_RETURN_IF_ERROR(NotRevoked());
  if (step->state() == StepState::kFailed) return step->failure();
  return step->dropped_why();
}

absl::StatusOr<const ViewLists*> Client::ViewStep(Step* step, uint32_t group, Tier tier) {
  if (step->state() != StepState::kReady) {
    return absl::FailedPreconditionError(
        "the step is not ready; views come after kvp_step_wait has returned KVP_OK");
  }
  if (!is_undisturbed(step)) KVP_RETURN_IF_ERROR(step->dropped_why());
  if (group >= pool().num_groups) {
    return absl::InvalidArgumentError(
        absl::StrCat("group ", group, " of a pool with ", pool().num_groups, " groups"));
  }
  // In a SPLIT step a page may gain a frame in HBM meanwhile: what was listed once is kept.
  const bool split = step->residency() == StepResidency::kSplit;
  const size_t slot = split ? group : 0;
  if (step->views.size() <= slot) step->views.resize(slot + 1);
  std::unique_ptr<Step::Views>& views = step->views[slot];
  if (step->view_group == group && step->message_free) {
    const uint64_t repeats = std::exchange(step->view_lag, 0);
    if (repeats > 0) ExtendLastPages(step->asked, repeats, views->device);
  } else if (views == nullptr || !split) {
    if (step->repeats_unsettled > 0) Settle();
    step->view_lag = 0;
    if (views == nullptr) views = std::make_unique<Step::Views>();
    ViewOptions options;
    options.page_table = &link_->page_table();
    options.page_tokens = geometry_.page_tokens;
    options.frames_hbm = pool().frames_hbm;
    options.frames_host = pool().frames_host;
    options.group = group;
    options.residency = step->residency();
    options.num_groups = pool().num_groups;
    options.frames = step->frames;
    const absl::Status built =
        BuildView(options, step->entries(), views->device, views->host, step->unsure_pages);
    if (!built.ok()) {
      views.reset();
      return built;
    }
    if (!split) step->view_group = group;
  }
  return tier == Tier::kHbm ? &views->device : &views->host;
}

absl::StatusOr<StepTimes> Client::TimesOfStep(const Step* step) {
  if (step->state() != StepState::kReady) {
    return absl::FailedPreconditionError(
        "the step is not ready; its times come after kvp_step_wait has returned KVP_OK");
  }
  return step->times();
}

absl::Status Client::EndStep(Step* step, KeepOrDiscard keep_or_discard) {
  // What has come decides how a pinned step ends; the end goes on regardless.
  (step->message_free ? AliveLately() : Alive()).IgnoreError();
  const uint32_t lane = step->ticket().lane;
  if (!lanes_.is_oldest(step)) {
    step->ended_early = true;
    AbandonWaits(step);
    return absl::FailedPreconditionError(absl::StrCat(
        "step ", step->ticket().number, " of lane ", lane,
        " was ended before an older step of its lane; it is discarded when its turn comes"));
  }
  const bool plain =
      keep_or_discard == KeepOrDiscard::kKeep && is_undisturbed(step) && NotRevoked().ok();
  absl::Status ended;
  if (plain) {
    EndUndisturbed(step);
  } else {
    ended = EndNow(step, keep_or_discard);
  }
  for (Step* next = lanes_.oldest(lane); next != nullptr && next->ended_early;
       next = lanes_.oldest(lane)) {
    EndNow(next, KeepOrDiscard::kDiscard).IgnoreError();
  }
  return ended;
}

void Client::Finish() {
  for (uint32_t lane = 0; lane < kLaneCount; ++lane) {
    while (Step* oldest = lanes_.oldest(lane)) {
      EndNow(oldest, KeepOrDiscard::kDiscard).IgnoreError();
    }
  }
  AbandonAll();
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  while (exchange_.is_anything_wanted() && TakeInOne(deadline).ok()) {
  }
}

absl::Status Client::EndNow(Step* step, KeepOrDiscard keep_or_discard) {
  Settle();
  absl::Status result;
  if (step->state() == StepState::kPending) {
    AbandonWaits(step);
    result = CancelPending(step);
    if (result.ok() && keep_or_discard == KeepOrDiscard::kKeep) {
      result = absl::FailedPreconditionError(
          "a step that was not ready cannot be kept; it was cancelled");
    }
    if (step->state() == StepState::kReady) {
      const absl::Status ended = EndReady(step, KeepOrDiscard::kDiscard);
      if (result.ok()) result = ended;
    }
  } else if (step->state() == StepState::kReady) {
    result = EndReady(step, keep_or_discard);
  } else if (keep_or_discard == KeepOrDiscard::kKeep) {
    result = step->failure();
  }
  for (const StepEntry& entry : step->entries()) {
    const absl::Status sent = SendHeldNames(entry.sequence, step->ticket());
    if (result.ok()) result = sent;
  }
  Remove(step);
  return result;
}

void Client::AbandonWaits(Step* step) {
  CompleteWaits(step,
                dead_.ok() ? absl::AbortedError("the step was ended before it was ready") : dead_);
}

absl::Status Client::CancelPending(Step* step) {
  KVP_RETURN_IF_ERROR(dead_);
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_ASSIGN_OR_RETURN(const uint64_t request, SendStepCancel(step->ticket()));
  absl::Status cancelled = Await(request, deadline).status();
  while (cancelled.ok() && step->state() == StepState::kPending) cancelled = TakeInOne(deadline);
  if (step->state() != StepState::kPending) return absl::OkStatus();  // Cancelled, or ready.
  // Its pages are in a state that we cannot know: nothing that follows could be trusted.
  return Die(
      absl::UnavailableError(absl::StrCat("the daemon did not cancel a step (", cancelled.message(),
                                          "); close this client and open a new one")));
}

absl::Status Client::EndReady(Step* step, KeepOrDiscard keep_or_discard) {
  KVP_RETURN_IF_ERROR(NotRevoked());  // Behind the last read of its kernels.
  KVP_RETURN_IF_ERROR(dead_);
  absl::Status result;
  if (keep_or_discard == KeepOrDiscard::kKeep) {
    result = CheckUnsure(link_->page_table(), step->unsure_pages);
    if (!result.ok()) keep_or_discard = KeepOrDiscard::kDiscard;
  }
  if (!step->message_free) KVP_RETURN_IF_ERROR(PostStepEnd(step->ticket()));
  step->ended = true;
  PublishDone(step->ticket().lane);
  if (keep_or_discard == KeepOrDiscard::kDiscard) {
    for (StepEntry& entry : step->entries()) {
      if (entry.dropped || entry.request->append_tokens == 0) continue;
      entry.dropped = true;
      RollBack(entry.sequence, entry.begin_tokens, step, Readers::kKeep, absl::OkStatus());
      KVP_RETURN_IF_ERROR(PostTruncate(entry.sequence, entry.sequence->length_tokens(),
                                       entry.sequence->newest_ticket(), Accept::kNo));
    }
  }
  if (keep_or_discard == KeepOrDiscard::kDiscard) return result;
  if (step->fills) ReportFilled(*step);
  for (const StepEntry& entry : step->entries()) {
    const bool appended =
        entry.request->append_tokens > 0 && entry.request->draft == 0 && !entry.dropped;
    if (appended && !step->message_free) entry.sequence->TakeTail(entry.tail_changes);
  }
  return step->dropped_why();
}

void Client::Remove(Step* step) {
  AbandonWaits(step);
  for (const StepEntry& entry : step->entries()) {
    Sequence::OpenSteps& open = entry.sequence->open_steps();
    open.erase(std::remove(open.begin(), open.end(), step), open.end());
  }
  if (Pending* pending = exchange_.Find(step->request); pending != nullptr) {
    KVP_CHECK(!dead_.ok());  // Only then is a step removed without its answer.
    pending->step = nullptr;
  }
  const uint32_t lane = step->ticket().lane;
  const bool told = step->ended;
  std::unique_ptr<Step> removed = lanes_.Remove(step);
  if (!told) PublishDone(lane);
  removed->Clear();
  Spare(std::move(removed));
}

}  // namespace kvpager::engine
