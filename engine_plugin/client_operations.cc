// engine_plugin/client_operations.cc
//
// Operations: how each is started, what its answers do to it, and when it is over. Blocking calls
// and submissions come through here.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine_plugin/client.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::engine {
// ---- From outside ----

absl::StatusOr<Completion> Client::Call(const OperationRequest& request) {
  KVP_RETURN_IF_ERROR(Alive());
  const Deadline deadline = DeadlineOf(request);
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  Operation* const operation = operations_.Add(request, deadline, StartedBy::kCall);
  Start(operation);
  while (!operation->is_complete) {
    const absl::Status taken = TakeInOne(deadline);
    if (taken.ok() || operation->is_complete) continue;
    if (absl::IsDeadlineExceeded(taken)) {
      Expire(operation);
    } else {
      Complete(operation, taken);
    }
  }
  Completion completion = operations_.TakeCall(operation);
  KVP_RETURN_IF_ERROR(completion.status);
  return completion;
}

absl::Status Client::Submit(absl::Span<const OperationRequest> requests, size_t* accepted) {
  *accepted = 0;
  KVP_RETURN_IF_ERROR(Alive());
  absl::Status result;
  for (const OperationRequest& request : requests) {
    if (operations_.submitted_count() >= kSubmittedMax ||
        exchange_.unsent_count() > kUnansweredMax) {
      result = absl::ResourceExhaustedError(absl::StrCat(
          operations_.submitted_count(), " operations were submitted and not drained, ",
          exchange_.unanswered_count(), " requests are unanswered; drain, then submit the rest"));
      break;
    }
    ++*accepted;
    Start(operations_.Add(request, DeadlineOf(request), StartedBy::kSubmit));
  }
  if (Wakeup* const wakeup = link_->wakeup(); wakeup != nullptr) {
    wakeup->WakeBy(operations_.deadline_ns_earliest());
  }
  return result;
}

absl::Status Client::Drain(size_t max, std::vector<Completion>& completions) {
  link_->Hush();
  Alive().IgnoreError();  // What it found is in dead_.
  if (dead_.ok() && operations_.has_open()) {
    const absl::Status turning = link_->CheckTurning(operations_.started_ns_earliest());
    if (!turning.ok()) Die(turning).IgnoreError();
  }
  if (!dead_.ok()) operations_.CompleteAll(dead_);
  const uint64_t now_ns = MonotonicNs();
  while (operations_.deadline_ns_earliest() <= now_ns) Expire(operations_.FindEarliest());
  while (operations_.has_completed() && completions.size() < max) {
    completions.push_back(operations_.TakeCompleted());
  }
  if (Wakeup* const wakeup = link_->wakeup(); wakeup != nullptr) {
    wakeup->WakeNextBy(operations_.deadline_ns_earliest(), now_ns);
    if (operations_.has_completed() || !dead_.ok()) wakeup->Set();
  }
  return operations_.has_completed() || !completions.empty() ? absl::OkStatus() : dead_;
}

absl::StatusOr<int> Client::EventFd() {
  KVP_RETURN_IF_ERROR(Alive());
  const bool is_new = link_->wakeup() == nullptr;
  KVP_ASSIGN_OR_RETURN(const int fd, link_->EventFd());
  if (is_new) {
    link_->wakeup()->WakeBy(operations_.deadline_ns_earliest());
    if (operations_.has_completed()) link_->wakeup()->Set();
  }
  return fd;
}

// ---- Start ----

Deadline Client::DeadlineOf(const OperationRequest& request) const {
  return Deadline::AfterUs(request.timeout_us == 0 ? timeout_us_ : request.timeout_us);
}

void Client::Start(Operation* operation) {
  absl::Status started;
  switch (operation->request.kind) {
    case OperationKind::kOpen:
      started = StartOpen(operation);
      break;
    case OperationKind::kStep:
      StartWait(operation);
      return;
    default:
      started = StartOnSequence(operation);
  }
  if (!started.ok()) Complete(operation, started);
}

absl::Status Client::StartOpen(Operation* operation) {
  absl::Span<const Digest>& keys = operation->request.keys;
  const size_t count = std::min<size_t>(keys.size(), pool().keys_per_command_max);
  KVP_RETURN_IF_ERROR(Track(operation, SendOpen(keys.subspan(0, count), PendingOf(*operation))));
  keys.remove_prefix(count);
  operation->asked_tokens = count * geometry_.page_tokens;
  return absl::OkStatus();
}

void Client::StartWait(Operation* operation) {
  Step* const step = operation->request.step;
  if (step->state() == StepState::kPending) {
    step->waits.push_back(operation->id);
  } else {
    Complete(operation, OutcomeOf(step));
  }
}

absl::Status Client::StartOnSequence(Operation* operation) {
  const OperationRequest& request = operation->request;
  KVP_ASSIGN_OR_RETURN(Sequence * sequence, UsableAsKnown(request.sequence));
  if (sequence->id() == 0) {
    KVP_RETURN_IF_ERROR(CheckMayResolve(*sequence));
    unresolved_.push_back(operation->id);
    return absl::OkStatus();
  }
  switch (request.kind) {
    case OperationKind::kFork:
      return StartFork(operation, sequence);
    case OperationKind::kName:
      return StartName(operation, sequence);
    case OperationKind::kResume:
      if (sequence->in_step()) return InStep("resume");
      return Track(operation, SendResume(sequence->id(), PendingOf(*operation)));
    default:
      return Track(operation, SendEvict(sequence->id(), request.tier, PendingOf(*operation)));
  }
}

absl::Status Client::StartFork(Operation* operation, Sequence* parent) {
  KVP_RETURN_IF_ERROR(Report(parent));
  parent->GiveUpTail();  // Two have it now.
  Pending pending = PendingOf(*operation);
  if (parent->stable_tokens() == parent->length_tokens()) {  // No open step writes what it copies.
    return Track(operation, SendFork(parent->id(), Ticket{}, pending));
  }
  // The daemon answers when the step has ended, and ending it is up to our caller: a call does not
  // wait for that.
  const bool is_call = operation->started_by == StartedBy::kCall;
  const uint64_t handle = kForkHandles | ++fork_handle_newest_;
  const Ticket ticket = parent->newest_ticket();
  pending.sequence = handle;
  if (is_call) pending.operation = 0;
  const absl::StatusOr<uint64_t> request = SendFork(parent->id(), ticket, pending);
  KVP_RETURN_IF_ERROR(request.status());
  auto child = std::make_unique<Sequence>(handle, geometry_.page_tokens);
  child->set_length_tokens(parent->length_tokens());
  child->fork_ticket = ticket;
  child->fork_parent = parent->handle();
  sequences_.Add(std::move(child));
  operation->completion.sequence = handle;
  if (!is_call) return Track(operation, request);
  Complete(operation, absl::OkStatus());
  return absl::OkStatus();
}

absl::Status Client::StartName(Operation* operation, Sequence* sequence) {
  const absl::Span<const Digest> keys = operation->request.keys;
  const uint32_t block_first = operation->request.block_first;
  KVP_RETURN_IF_ERROR(CheckFullBlocks(*sequence, block_first, keys.size()));
  if (BlocksEndTokens(block_first, keys.size()) > sequence->stable_tokens()) {
    return InStep("a durable name");
  }
  KVP_RETURN_IF_ERROR(Report(sequence));
  for (size_t first = 0; first < keys.size(); first += pool().keys_per_command_max) {
    KVP_RETURN_IF_ERROR(
        Track(operation, SendName(sequence, block_first + static_cast<uint32_t>(first),
                                  keys.subspan(first, pool().keys_per_command_max),
                                  NameHow::kDurably, PendingOf(*operation))));
  }
  if (operation->unanswered.empty()) Complete(operation, absl::OkStatus());
  return absl::OkStatus();
}

Pending Client::PendingOf(const Operation& operation) {
  Pending pending;
  pending.operation = operation.id;
  return pending;
}

absl::Status Client::Track(Operation* operation, const absl::StatusOr<uint64_t>& request) {
  KVP_RETURN_IF_ERROR(request.status());
  operation->unanswered.push_back(*request);
  return absl::OkStatus();
}

// The daemon has said what became of a fork, or a sequence was closed.
void Client::StartUnresolved() {
  if (unresolved_.empty()) return;
  for (const uint64_t id : std::exchange(unresolved_, {})) {
    Operation* const operation = operations_.Find(id);
    if (operation != nullptr) Start(operation);
  }
}

// ---- Answers ----

void Client::Advance(const Arrival& arrival) {
  Operation* const operation = operations_.Find(arrival.pending.operation);
  if (operation == nullptr) return;  // A piece of it could not even be sent.
  auto& unanswered = operation->unanswered;
  unanswered.erase(std::remove(unanswered.begin(), unanswered.end(), arrival.request),
                   unanswered.end());
  const Answer& answer = arrival.answer;
  switch (operation->request.kind) {
    case OperationKind::kOpen:
      return AdvanceOpen(operation, answer);
    case OperationKind::kFork:
      if (operation->completion.sequence == 0) operation->completion.sequence = answer.sequence;
      if (!answer.status.ok()) DropChild(*operation);
      return Complete(operation, answer.status);
    case OperationKind::kName:
      if (operation->first_error.ok()) operation->first_error = answer.status;
      if (unanswered.empty()) Complete(operation, operation->first_error);
      return;
    case OperationKind::kResume:
      if (Sequence* const resumed = FindByHandle(operation->request.sequence);
          resumed != nullptr && answer.status.ok()) {
        resumed->suspended = false;
      }
      return Complete(operation, answer.status);
    default:
      return Complete(operation, answer.status);
  }
}

// Goes on with the next keys as long as all before were known.
void Client::AdvanceOpen(Operation* operation, const Answer& answer) {
  Completion& completion = operation->completion;
  if (completion.sequence == 0) completion.sequence = answer.sequence;
  absl::Status went_on = answer.status;
  if (went_on.ok()) {
    for (size_t tier = 0; tier < kTierCount; ++tier) {
      completion.reuse.hit_blocks[tier] += answer.hit_blocks[tier];
    }
    completion.reuse.tokens = FindByHandle(completion.sequence)->length_tokens();
    absl::Span<const Digest>& keys = operation->request.keys;
    if (keys.empty() || completion.reuse.tokens != operation->asked_tokens) {
      return Complete(operation, absl::OkStatus());
    }
    const size_t count = std::min<size_t>(keys.size(), pool().keys_per_command_max);
    went_on = Track(operation,
                    SendExtend(completion.sequence, keys.subspan(0, count), PendingOf(*operation)));
    keys.remove_prefix(count);
    operation->asked_tokens += count * geometry_.page_tokens;
  }
  if (went_on.ok()) return;
  CloseUnseen(completion.sequence);
  Complete(operation, went_on);
}

// ---- The end ----

void Client::Complete(Operation* operation, const absl::Status& status) {
  const bool submitted = operation->started_by == StartedBy::kSubmit;
  operations_.Complete(operation, status);
  if (submitted && link_->wakeup() != nullptr) link_->wakeup()->Set();
}

void Client::CompleteWaits(Step* step, const absl::Status& status) {
  for (const uint64_t id : std::exchange(step->waits, {})) {
    Operation* const operation = operations_.Find(id);
    if (operation != nullptr) Complete(operation, status);
  }
}

void Client::Expire(Operation* operation) {
  const OperationRequest& request = operation->request;
  std::string text = "the daemon has not answered the fork yet; retry";
  if (request.kind == OperationKind::kStep) {
    auto& waits = request.step->waits;
    waits.erase(std::remove(waits.begin(), waits.end(), operation->id), waits.end());
    text = "the step is not ready yet; wait again, end other steps, or end this one with discard";
  }
  for (const uint64_t unanswered : operation->unanswered) {
    Pending* const pending = exchange_.Find(unanswered);
    KVP_CHECK(pending != nullptr);
    pending->operation = 0;
    pending->abandoned = true;
    text = absl::StrCat("the daemon did not answer a ", std::string(MessageTypeName(pending->type)),
                        " request in time; retry, or give the call a longer timeout");
  }
  if (request.kind == OperationKind::kFork) DropChild(*operation);
  if (request.kind == OperationKind::kOpen) CloseUnseen(operation->completion.sequence);
  Complete(operation, absl::DeadlineExceededError(text));
}

void Client::AbandonAll() {
  while (Operation* const operation = operations_.FindEarliest()) Expire(operation);
}

// A child that has no id yet; it is closed when it gets one.
void Client::DropChild(const Operation& operation) {
  const Sequence* const child = FindByHandle(operation.completion.sequence);
  if (child != nullptr && child->id() == 0) sequences_.Erase(child->handle());
}

void Client::CloseUnseen(uint64_t handle) {
  const Sequence* const sequence = FindByHandle(handle);
  if (sequence == nullptr) return;
  const uint64_t id = sequence->id();
  sequences_by_id_.erase(id);
  sequences_.Erase(handle);
  PostClose(id).IgnoreError();  // It fails only with the client.
}

}  // namespace kvpager::engine
