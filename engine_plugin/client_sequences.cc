// engine_plugin/client_sequences.cc
//
// What one can do with a sequence outside of steps.

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine_plugin/client.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::engine {

absl::Status Client::InStep(std::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(std::string(what),
                   ": the sequence is in a step of this client that has not "
                   "ended; end the step first"));
}

Sequence* Client::FindById(uint64_t id) {
  Settle();
  const auto found = sequences_by_id_.find(id);
  return found == sequences_by_id_.end() ? nullptr : found->second;
}

Sequence* Client::FindByHandle(uint64_t handle) {
  Settle();
  return sequences_.Find(handle);
}

absl::StatusOr<Sequence*> Client::Usable(uint64_t handle) {
  KVP_RETURN_IF_ERROR(Alive());
  return UsableAsKnown(handle);
}

absl::StatusOr<Sequence*> Client::UsableAsKnown(uint64_t handle) {
  Sequence* sequence = FindByHandle(handle);
  if (sequence == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("no sequence ", handle, " in this client; was it closed?"));
  }
  KVP_RETURN_IF_ERROR(sequence->broken());
  KVP_RETURN_IF_ERROR(sequence->TakeError());
  return sequence;
}

// Whether the daemon will answer the fork without our caller's doing. The steps of a sequence that
// overlap are in one lane, so one of another lane is not the step that the fork waits for.
absl::Status Client::CheckMayResolve(const Sequence& sequence) {
  const Sequence* parent = FindByHandle(sequence.fork_parent);
  if (parent == nullptr || !parent->in_step()) return absl::OkStatus();
  const Ticket oldest = parent->open_steps().front()->ticket();
  if (oldest.lane != sequence.fork_ticket.lane || oldest.number > sequence.fork_ticket.number) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "the sequence is a fork that waits for a step of its parent; end that step first");
}

absl::Status Client::Resolve(Sequence* sequence, const Deadline& deadline) {
  while (sequence->id() == 0) {
    KVP_RETURN_IF_ERROR(sequence->broken());
    KVP_RETURN_IF_ERROR(CheckMayResolve(*sequence));
    const absl::Status taken = TakeInOne(deadline);
    if (absl::IsDeadlineExceeded(taken)) {
      return absl::DeadlineExceededError("the daemon has not answered the fork yet; retry");
    }
    KVP_RETURN_IF_ERROR(taken);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Client::OpenSequence(absl::Span<const Digest> keys, Reuse* reuse) {
  OperationRequest request;
  request.kind = OperationKind::kOpen;
  request.keys = keys;
  KVP_ASSIGN_OR_RETURN(const Completion opened, Call(request));
  if (reuse != nullptr) *reuse = opened.reuse;
  return opened.sequence;
}

absl::StatusOr<uint64_t> Client::Fork(uint64_t parent) {
  OperationRequest request;
  request.kind = OperationKind::kFork;
  request.sequence = parent;
  KVP_ASSIGN_OR_RETURN(const Completion forked, Call(request));
  return forked.sequence;
}

uint64_t Client::BlocksEndTokens(uint32_t block_first, size_t count) const {
  return (uint64_t{block_first} + count) * geometry_.page_tokens;
}

absl::Status Client::CheckFullBlocks(const Sequence& sequence, uint32_t block_first,
                                     size_t count) const {
  const uint64_t end_tokens = BlocksEndTokens(block_first, count);
  if (end_tokens <= sequence.length_tokens()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("cannot name blocks up to token ", end_tokens,
                                                 " of a sequence of ", sequence.length_tokens(),
                                                 " tokens: only full blocks have names"));
}

absl::Status Client::Name(uint64_t handle, absl::Span<const Digest> keys,
                          const NameOptions& options) {
  if (options.durable) return NameDurably(handle, keys, options);
  KVP_ASSIGN_OR_RETURN(Sequence * sequence, Usable(handle));
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_RETURN_IF_ERROR(Resolve(sequence, deadline));
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  KVP_RETURN_IF_ERROR(CheckFullBlocks(*sequence, options.block_first, keys.size()));
  const HeldName name{sequence->newest_ticket(), options.block_first,
                      std::vector<Digest>(keys.begin(), keys.end())};
  if (BlocksEndTokens(options.block_first, keys.size()) > sequence->stable_tokens()) {
    ++silent_changes_;
    sequence->held_names.push_back(name);
    return absl::OkStatus();
  }
  KVP_RETURN_IF_ERROR(Report(sequence));
  return PostName(sequence, name);
}

absl::Status Client::NameDurably(uint64_t handle, absl::Span<const Digest> keys,
                                 const NameOptions& options) {
  OperationRequest request;
  request.kind = OperationKind::kName;
  request.sequence = handle;
  request.keys = keys;
  request.block_first = options.block_first;
  request.timeout_us = options.timeout_us;
  return Call(request).status();
}

absl::Status Client::PostName(const Sequence* sequence, const HeldName& name) {
  const absl::Span<const Digest> keys(name.keys);
  for (size_t first = 0; first < keys.size(); first += pool().keys_per_command_max) {
    KVP_RETURN_IF_ERROR(SendName(sequence, name.block_first + static_cast<uint32_t>(first),
                                 keys.subspan(first, pool().keys_per_command_max), NameHow::kAtOnce,
                                 Pending{})
                            .status());
  }
  return absl::OkStatus();
}

absl::Status Client::SendHeldNames(Sequence* sequence, Ticket ended) {
  std::vector<HeldName> waiting;
  std::vector<HeldName> ready;
  for (HeldName& held : sequence->held_names) {
    (held.ticket.number <= ended.number ? ready : waiting).push_back(std::move(held));
  }
  sequence->held_names = std::move(waiting);
  if (!ready.empty()) KVP_RETURN_IF_ERROR(Report(sequence));
  for (const HeldName& held : ready) KVP_RETURN_IF_ERROR(PostName(sequence, held));
  return absl::OkStatus();
}

absl::Status Client::Truncate(uint64_t handle, uint64_t tokens) {
  KVP_ASSIGN_OR_RETURN(Sequence * sequence, Usable(handle));
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_RETURN_IF_ERROR(Resolve(sequence, deadline));
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  if (tokens > sequence->length_tokens()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot truncate a sequence of ", sequence->length_tokens(), " tokens to ", tokens));
  }
  KVP_RETURN_IF_ERROR(Report(sequence));
  KVP_RETURN_IF_ERROR(PostTruncate(sequence, tokens, sequence->newest_ticket(), Accept::kYes));
  sequence->set_length_tokens(tokens);
  std::erase_if(sequence->held_names, [this, tokens](const HeldName& held) {
    return (uint64_t{held.block_first} + held.keys.size()) * geometry_.page_tokens > tokens;
  });
  for (Step* step : sequence->open_steps()) {
    for (StepEntry& entry : step->entries()) {
      const bool gone = entry.request->append_tokens > 0 && entry.begin_tokens >= tokens;
      if (entry.sequence == sequence && gone) entry.dropped = true;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Client::Length(uint64_t handle) {
  KVP_RETURN_IF_ERROR(Alive());
  const Sequence* sequence = FindByHandle(handle);
  if (sequence == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("no sequence ", handle, " in this client; was it closed?"));
  }
  return sequence->length_tokens();  // Also when an error waits: it may say "ask for the length".
}

absl::Status Client::Suspend(uint64_t handle) {
  KVP_ASSIGN_OR_RETURN(Sequence * sequence, Usable(handle));
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_RETURN_IF_ERROR(Resolve(sequence, deadline));
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  KVP_RETURN_IF_ERROR(Report(sequence));
  KVP_RETURN_IF_ERROR(SendSuspend(sequence));
  sequence->GiveUpTail();
  sequence->suspended = true;
  return absl::OkStatus();
}

absl::Status Client::Resume(uint64_t handle) {
  OperationRequest request;
  request.kind = OperationKind::kResume;
  request.sequence = handle;
  return Call(request).status();
}

absl::Status Client::Prefetch(uint64_t handle, const PrefetchOptions& options) {
  KVP_ASSIGN_OR_RETURN(Sequence * sequence, Usable(handle));
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_RETURN_IF_ERROR(Resolve(sequence, deadline));
  KVP_RETURN_IF_ERROR(std::exchange(prefetch_error_, absl::OkStatus()));
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  return SendPrefetch(sequence->id(), {}, options).status();
}

absl::Status Client::PrefetchKeys(absl::Span<const Digest> keys, const PrefetchOptions& options) {
  KVP_RETURN_IF_ERROR(Alive());
  KVP_RETURN_IF_ERROR(std::exchange(prefetch_error_, absl::OkStatus()));
  KVP_RETURN_IF_ERROR(WaitForRoom(Deadline::AfterUs(timeout_us_)));
  for (size_t first = 0; first < keys.size(); first += pool().keys_per_command_max) {
    KVP_RETURN_IF_ERROR(
        SendPrefetch(0, keys.subspan(first, pool().keys_per_command_max), options).status());
  }
  return absl::OkStatus();
}

absl::Status Client::Evict(uint64_t handle, Tier tier) {
  OperationRequest request;
  request.kind = OperationKind::kEvict;
  request.sequence = handle;
  request.tier = tier;
  return Call(request).status();
}

absl::Status Client::Close(uint64_t handle) {
  KVP_RETURN_IF_ERROR(Alive());
  Sequence* sequence = FindByHandle(handle);
  if (sequence == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("no sequence ", handle, " in this client; was it closed?"));
  }
  if (sequence->in_step()) return InStep("close");
  KVP_RETURN_IF_ERROR(WaitForRoom(Deadline::AfterUs(timeout_us_)));
  const absl::Status remembered = sequence->TakeError();
  const uint64_t id = sequence->id();
  if (id != 0) sequences_by_id_.erase(id);
  sequences_.Erase(handle);
  StartUnresolved();                                // What was submitted for it finds it gone.
  if (id != 0) KVP_RETURN_IF_ERROR(PostClose(id));  // Else: closed when the fork is answered.
  // Lost blocks of a sequence that nobody wants any more are no news.
  return absl::IsDataLoss(remembered) ? absl::OkStatus() : remembered;
}

}  // namespace kvpager::engine
