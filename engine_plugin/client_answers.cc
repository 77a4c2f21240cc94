// engine_plugin/client_answers.cc
//
// How answers and notices change what the client knows, and which tokens go when a step fails or
// blocks are lost.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine_plugin/client.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"

namespace kvpager::engine {
namespace {

// One pass over what has come is bounded, so that a call returns even while answers pour in.
constexpr int kAnswersPerCallMax = 1024;

constexpr uint64_t kLookNs = 100'000'000;

absl::Status WithPrefix(std::string_view prefix, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(std::string(prefix), status.message()));
}

StepEntry& EntryOf(Step* step, const Sequence* sequence) {
  for (StepEntry& entry : step->entries()) {
    if (entry.sequence == sequence) return entry;
  }
  KVP_CHECK(false);  // The sequence lists the step.
  return step->entries().front();
}

bool Contains(const Step* step, const Sequence* sequence) {
  const auto& entries = step->entries();
  return std::any_of(entries.begin(), entries.end(),
                     [sequence](const StepEntry& entry) { return entry.sequence == sequence; });
}

}  // namespace

absl::Status Client::Die(absl::Status why) {
  if (dead_.ok()) dead_ = std::move(why);
  ++silent_changes_;  // No step ends as if nothing had happened.
  if (link_->wakeup() != nullptr) link_->wakeup()->Set();
  return dead_;
}

absl::Status Client::NotRevoked() {
  const absl::Status revoked = link_->CheckRevoked();
  return revoked.ok() ? absl::OkStatus() : Die(revoked);
}

absl::Status Client::Alive() {
  for (int i = 0; i < kAnswersPerCallMax; ++i) {
    const absl::Status taken = TakeInOne(Deadline::AfterUs(0));
    if (absl::IsDeadlineExceeded(taken)) return absl::OkStatus();
    KVP_RETURN_IF_ERROR(taken);
  }
  return absl::OkStatus();
}

// A step without a message needs no news: what it may read, the page table says. So the socket,
// which costs system calls, is looked at only when something is expected, and now and then to see
// whether the daemon is still there.
absl::Status Client::AliveLately() {
  const bool expects = exchange_.unanswered_count() > 0 || exchange_.unsent_count() > 0;
  if (!expects && link_->page_table().state() == PageTableState::kServing) {
    KVP_RETURN_IF_ERROR(dead_);
    const uint64_t now_ns = MonotonicNs();
    if (now_ns - looked_at_ns_ < kLookNs) return absl::OkStatus();
    looked_at_ns_ = now_ns;
  }
  return Alive();
}

absl::Status Client::TakeInOne(const Deadline& deadline) {
  KVP_RETURN_IF_ERROR(dead_);
  absl::StatusOr<std::optional<Arrival>> arrival = exchange_.Next(deadline);
  if (!arrival.ok()) return Die(arrival.status());
  if (!arrival->has_value()) return absl::DeadlineExceededError("no answer in time");
  return Dispatch(*std::move(*arrival));
}

absl::Status Client::WaitForRoom(const Deadline& deadline) {
  while (exchange_.unsent_count() > kUnansweredMax) {
    const absl::Status taken = TakeInOne(deadline);
    if (absl::IsDeadlineExceeded(taken)) {
      return absl::ResourceExhaustedError(absl::StrCat(
          exchange_.unanswered_count(),
          " requests of this client are unanswered; end the steps they wait for, then retry"));
    }
    KVP_RETURN_IF_ERROR(taken);
  }
  return absl::OkStatus();
}

absl::StatusOr<Answer> Client::Await(uint64_t request, const Deadline& deadline) {
  while (true) {
    if (const auto found = awaited_.find(request); found != awaited_.end()) {
      Answer answer = std::move(found->second);
      awaited_.erase(found);
      if (!answer.status.ok()) return answer.status;
      return answer;
    }
    const absl::Status taken = TakeInOne(deadline);
    if (absl::IsDeadlineExceeded(taken)) {
      Pending* pending = exchange_.Find(request);
      KVP_CHECK(pending != nullptr);
      pending->awaited = false;
      pending->abandoned = true;
      return absl::DeadlineExceededError(
          absl::StrCat("the daemon did not answer a ", std::string(MessageTypeName(pending->type)),
                       " request in time; retry, or give the call a longer timeout"));
    }
    KVP_RETURN_IF_ERROR(taken);
  }
}

absl::Status Client::Dispatch(Arrival arrival) {
  Settle();
  const Answer& answer = arrival.answer;
  if (arrival.request == 0 && answer.updates.empty()) {
    return answer.status.ok() ? absl::OkStatus() : Die(answer.status);
  }
  const MessageType type = arrival.pending.type;
  if (answer.status.ok() && (type == MessageType::kOpen || type == MessageType::kFork)) {
    KVP_RETURN_IF_ERROR(HandleNewSequence(arrival));
  } else {
    KVP_RETURN_IF_ERROR(ApplyUpdates(arrival));
  }
  if (type == MessageType::kStepBegin) {
    KVP_RETURN_IF_ERROR(HandleStepAnswer(arrival));
  } else if (arrival.request != 0 && !answer.status.ok() && !arrival.pending.awaited &&
             arrival.pending.operation == 0) {
    HandlePostedError(arrival);
    KVP_RETURN_IF_ERROR(dead_);
  }
  if (arrival.pending.operation != 0) Advance(arrival);
  if (type == MessageType::kFork) StartUnresolved();
  if (arrival.pending.awaited) awaited_.emplace(arrival.request, std::move(arrival.answer));
  return absl::OkStatus();
}

absl::Status Client::ApplyUpdates(const Arrival& arrival) {
  const bool is_loss =
      arrival.request == 0 || arrival.answer.status.code() == absl::StatusCode::kDataLoss;
  for (const SequenceUpdate& update : arrival.answer.updates) {
    Sequence* sequence = FindById(update.sequence);
    if (sequence == nullptr) continue;  // Closed by us while this was on its way.
    const absl::Status applied =
        sequence->ApplyRuns(update.block_position, update.runs, pool().blocks_max);
    if (!applied.ok()) return Die(applied);
    if (sequence->credit.has_value() && sequence->blocks()->size() <= sequence->credit->position) {
      UndoCredit(sequence);
    }
    if (is_loss) {
      KVP_RETURN_IF_ERROR(CutSequence(sequence, update.length_tokens, arrival.pending.step));
    } else if (arrival.pending.type == MessageType::kExtend) {
      sequence->set_length_tokens(update.length_tokens);
      sequence->set_told_tokens(update.length_tokens);
    }
  }
  return absl::OkStatus();
}

absl::Status Client::HandleNewSequence(const Arrival& arrival) {
  const Answer& answer = arrival.answer;
  const bool posted = arrival.pending.sequence != 0;  // A fork whose child has a handle already.
  Sequence* sequence = FindByHandle(arrival.pending.sequence);
  if (arrival.pending.abandoned || (posted && sequence == nullptr)) {
    return PostClose(answer.sequence);  // Nobody wants it any more.
  }
  if (FindById(answer.sequence) != nullptr || answer.sequence == 0) {
    return Die(absl::UnavailableError(
        absl::StrCat("the daemon answered with sequence ", answer.sequence,
                     ", which is not a new one; close this client and open a new one")));
  }
  if (!posted) {
    auto made = std::make_unique<Sequence>(answer.sequence, geometry_.page_tokens);
    sequence = made.get();
    sequence->set_length_tokens(answer.tokens);
    sequence->set_told_tokens(answer.tokens);
    sequences_.Add(std::move(made));
  }
  sequence->set_id(answer.sequence);
  sequences_by_id_.emplace(answer.sequence, sequence);
  KVP_RETURN_IF_ERROR(ApplyUpdates(arrival));
  for (const SequenceUpdate& update : answer.updates) {
    if (update.sequence != answer.sequence) continue;
    sequence->set_told_tokens(update.length_tokens);
    if (!posted) {
      sequence->set_length_tokens(update.length_tokens);
    } else if (sequence->length_tokens() < update.length_tokens) {
      return PostTruncate(sequence, sequence->length_tokens(), Ticket{}, Accept::kNo);
    }
  }
  return absl::OkStatus();
}

absl::Status Client::HandleStepAnswer(const Arrival& arrival) {
  Step* step = arrival.pending.step;
  KVP_CHECK(step != nullptr);
  const Answer& answer = arrival.answer;
  if (!answer.status.ok()) {
    KVP_RETURN_IF_ERROR(FailStep(step, answer.status));
    CompleteWaits(step, OutcomeOf(step));
    return absl::OkStatus();
  }
  if (answer.ticket != step->ticket()) {
    return Die(absl::UnavailableError(
        absl::StrCat("the daemon answered for step ", answer.ticket.number, " of lane ",
                     answer.ticket.lane, " where step ", step->ticket().number,
                     " was asked for; close this client and open a new one")));
  }
  step->SetReady(answer.times);
  for (const StepEntry& entry : step->entries()) {
    if (entry.dropped) continue;
    if (entry.blocks->size() < CeilDiv(entry.end_tokens(), geometry_.page_tokens)) {
      return Die(absl::UnavailableError(
          absl::StrCat("the daemon described ", entry.blocks->size(), " blocks of a sequence of ",
                       entry.end_tokens(), " tokens; close this client and open a new one")));
    }
  }
  CompleteWaits(step, OutcomeOf(step));
  return absl::OkStatus();
}

void Client::HandlePostedError(const Arrival& arrival) {
  const absl::Status& status = arrival.answer.status;
  Sequence* sequence = FindByHandle(arrival.pending.sequence);
  switch (arrival.pending.type) {
    case MessageType::kPrefetch:
      if (prefetch_error_.ok()) prefetch_error_ = WithPrefix("an earlier prefetch: ", status);
      return;
    case MessageType::kTruncate:
      if (sequence == nullptr || sequence->cut_tokens <= arrival.pending.tokens) return;
      [[fallthrough]];
    case MessageType::kFork:
      if (sequence == nullptr) return;
      sequence->Break(absl::FailedPreconditionError(absl::StrCat(
          "an earlier ", std::string(MessageTypeName(arrival.pending.type)),
          " of this sequence failed (", status.message(), "); close it and open it again")));
      return;
    case MessageType::kName:
    case MessageType::kSuspend:
      if (sequence == nullptr || arrival.pending.abandoned) return;
      sequence->Remember(
          WithPrefix(absl::StrCat("an earlier ", std::string(MessageTypeName(arrival.pending.type)),
                                  " of this sequence: "),
                     status));
      return;
    default:
      return;  // Close, and what nobody waits for any more.
  }
}

absl::Status Client::FailStep(Step* step, const absl::Status& why) {
  step->SetFailed(why);
  const absl::Status aborted = absl::AbortedError(
      absl::StrCat("an earlier step of the same sequence failed (", why.message(),
                   "); end this step with discard and begin again"));
  for (StepEntry& entry : step->entries()) {
    const bool had_tokens = entry.request->append_tokens > 0 && !entry.dropped;
    entry.dropped = true;
    if (!had_tokens) continue;
    if (RollBack(entry.sequence, entry.begin_tokens, step, Readers::kDrop, aborted)) {
      KVP_RETURN_IF_ERROR(PostTruncate(entry.sequence, entry.sequence->length_tokens(),
                                       entry.sequence->newest_ticket(), Accept::kNo));
    }
    // The daemon never took these tokens in.
    entry.sequence->set_told_tokens(std::min(entry.sequence->told_tokens(), entry.begin_tokens));
  }
  return absl::OkStatus();
}

absl::Status Client::CutSequence(Sequence* sequence, uint64_t tokens_good,
                                 const Step* reported_by) {
  const uint64_t before_tokens = sequence->length_tokens();
  uint64_t left_tokens = tokens_good;
  const bool reported = reported_by != nullptr && Contains(reported_by, sequence);
  if (reported) {
    for (Step* step : sequence->open_steps()) {
      if (step != reported_by) continue;
      StepEntry& entry = EntryOf(step, sequence);
      entry.dropped = true;
      left_tokens = std::min(left_tokens, entry.begin_tokens);
    }
  }
  const absl::Status lost = absl::DataLossError(
      absl::StrCat("blocks of this sequence were lost; of ", before_tokens, " tokens at most ",
                   left_tokens, " are left: ask for its length and recompute from there"));
  const bool dropped = RollBack(sequence, left_tokens, nullptr, Readers::kDrop, lost);
  sequence->cut_tokens = std::min(sequence->cut_tokens, tokens_good);
  sequence->GiveUpTail();
  if (!reported && sequence->length_tokens() < before_tokens) sequence->Remember(lost);
  absl::Status posted;
  if (dropped) {
    posted =
        PostTruncate(sequence, sequence->length_tokens(), sequence->newest_ticket(), Accept::kNo);
  }
  sequence->set_told_tokens(std::min(sequence->told_tokens(), tokens_good));
  return posted;
}

bool Client::RollBack(Sequence* sequence, uint64_t tokens, const Step* after, Readers readers,
                      const absl::Status& why) {
  ++silent_changes_;
  bool dropped_tokens = false;
  bool behind = after == nullptr;
  for (Step* step : sequence->open_steps()) {
    if (step == after) {
      behind = true;
      continue;
    }
    StepEntry& entry = EntryOf(step, sequence);
    if (!behind || entry.dropped) continue;
    const bool appends = entry.request->append_tokens > 0 && entry.end_tokens() > tokens;
    const bool reads = entry.request->append_tokens == 0 && entry.begin_tokens > tokens;
    if (!appends && !(reads && readers == Readers::kDrop)) continue;
    if (appends) {
      tokens = std::min(tokens, entry.begin_tokens);
      dropped_tokens = true;
    }
    entry.dropped = true;
    entry.dropped_why = why;
  }
  if (sequence->length_tokens() > tokens) sequence->set_length_tokens(tokens);
  UndoCreditBehind(sequence, tokens);
  std::erase_if(sequence->held_names, [this, tokens](const HeldName& held) {
    return (uint64_t{held.block_first} + held.keys.size()) * geometry_.page_tokens > tokens;
  });
  RollBackForks(sequence, tokens);
  return dropped_tokens;
}

void Client::RollBackForks(const Sequence* parent, uint64_t tokens) {
  sequences_.ForEach([parent, tokens](Sequence& child) {
    if (child.id() != 0 || child.fork_parent != parent->handle()) return;
    if (child.length_tokens() > tokens) child.set_length_tokens(tokens);
  });
}

}  // namespace kvpager::engine
