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
namespace {

// Handles of forks that the daemon has not answered; far from any id of the daemon.
constexpr uint64_t kForkHandles = uint64_t{1} << 63;

absl::Status InStep(std::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat(std::string(what),
                   ": the sequence is in a step of this client that has not "
                   "ended; end the step first"));
}

// The tokens of `sequence` that no open step is still writing.
uint64_t StableTokens(const Sequence& sequence) {
  uint64_t stable_tokens = sequence.length_tokens();
  for (const Step* step : sequence.open_steps()) {
    for (const StepEntry& entry : step->entries()) {
      if (entry.sequence != &sequence || entry.dropped) continue;
      if (entry.request.append_tokens == 0) continue;
      stable_tokens = std::min(stable_tokens, entry.begin_tokens);
    }
  }
  return stable_tokens;
}

}  // namespace

Sequence* Client::FindById(uint64_t id) const {
  const auto found = sequences_by_id_.find(id);
  return found == sequences_by_id_.end() ? nullptr : found->second;
}

Sequence* Client::FindByHandle(uint64_t handle) const {
  const auto found = sequences_.find(handle);
  return found == sequences_.end() ? nullptr : found->second.get();
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

absl::Status Client::Resolve(Sequence* sequence, const Deadline& deadline) {
  while (sequence->id() == 0) {
    KVP_RETURN_IF_ERROR(sequence->broken());
    const Sequence* parent = FindByHandle(sequence->fork_parent);
    if (parent != nullptr && parent->in_step() &&
        parent->open_steps().front()->ticket().number <= sequence->fork_ticket.number) {
      return absl::FailedPreconditionError(
          "the sequence is a fork that waits for a step of its parent; end that step first");
    }
    const absl::Status taken = TakeInOne(deadline);
    if (absl::IsDeadlineExceeded(taken)) {
      return absl::DeadlineExceededError("the daemon has not answered the fork yet; retry");
    }
    KVP_RETURN_IF_ERROR(taken);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Client::OpenSequence(absl::Span<const Digest> keys, Reuse* reuse) {
  KVP_RETURN_IF_ERROR(Alive());
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  Pending pending;
  pending.awaited = true;
  const size_t first_count = std::min<size_t>(keys.size(), pool().keys_per_command_max);
  KVP_ASSIGN_OR_RETURN(const uint64_t request, SendOpen(keys.subspan(0, first_count), pending));
  KVP_ASSIGN_OR_RETURN(Answer answer, Await(request, deadline));
  const uint64_t handle = answer.sequence;
  absl::StatusOr<Answer> total =
      ExtendWhileHit(handle, keys.subspan(first_count), std::move(answer), deadline);
  if (!total.ok()) {
    Close(handle).IgnoreError();
    return total.status();
  }
  if (reuse != nullptr) {
    reuse->tokens = FindByHandle(handle)->length_tokens();
    reuse->hit_blocks = total->hit_blocks;
  }
  return handle;
}

absl::StatusOr<Answer> Client::ExtendWhileHit(uint64_t handle, absl::Span<const Digest> keys,
                                              Answer answer, const Deadline& deadline) {
  const Sequence* sequence = FindByHandle(handle);
  uint64_t asked_tokens = uint64_t{pool().keys_per_command_max} * geometry_.page_tokens;
  while (!keys.empty() && sequence->length_tokens() == asked_tokens) {
    const size_t count = std::min<size_t>(keys.size(), pool().keys_per_command_max);
    KVP_ASSIGN_OR_RETURN(const uint64_t request, SendExtend(handle, keys.subspan(0, count)));
    KVP_ASSIGN_OR_RETURN(const Answer more, Await(request, deadline));
    for (size_t tier = 0; tier < answer.hit_blocks.size(); ++tier) {
      answer.hit_blocks[tier] += more.hit_blocks[tier];
    }
    keys.remove_prefix(count);
    asked_tokens += count * geometry_.page_tokens;
  }
  return answer;
}

absl::StatusOr<uint64_t> Client::Fork(uint64_t parent_handle) {
  KVP_ASSIGN_OR_RETURN(Sequence * parent, Usable(parent_handle));
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_RETURN_IF_ERROR(Resolve(parent, deadline));
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  KVP_RETURN_IF_ERROR(Report(parent));
  parent->GiveUpTail();  // Two have it now.
  Pending pending;
  if (StableTokens(*parent) == parent->length_tokens()) {  // No open step writes what it copies.
    pending.awaited = true;
    KVP_ASSIGN_OR_RETURN(const uint64_t request, SendFork(parent->id(), Ticket{}, pending));
    KVP_ASSIGN_OR_RETURN(const Answer answer, Await(request, deadline));
    return answer.sequence;
  }
  // The daemon answers when the step has ended, and ending it is up to our caller: do not wait.
  const uint64_t handle = kForkHandles | ++fork_handle_newest_;
  pending.sequence = handle;
  const Ticket ticket = parent->newest_ticket();
  KVP_RETURN_IF_ERROR(SendFork(parent->id(), ticket, pending).status());
  auto child = std::make_unique<Sequence>(handle, geometry_.page_tokens);
  child->set_length_tokens(parent->length_tokens());
  child->fork_ticket = ticket;
  child->fork_parent = parent_handle;
  sequences_.emplace(handle, std::move(child));
  return handle;
}

absl::Status Client::Name(uint64_t handle, absl::Span<const Digest> keys,
                          const NameOptions& options) {
  KVP_ASSIGN_OR_RETURN(Sequence * sequence, Usable(handle));
  const Deadline deadline = Deadline::AfterUs(options.durable ? options.timeout_us : timeout_us_);
  KVP_RETURN_IF_ERROR(Resolve(sequence, deadline));
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  const uint64_t end_tokens = (uint64_t{options.block_first} + keys.size()) * geometry_.page_tokens;
  if (end_tokens > sequence->length_tokens()) {
    return absl::InvalidArgumentError(absl::StrCat("cannot name blocks up to token ", end_tokens,
                                                   " of a sequence of ", sequence->length_tokens(),
                                                   " tokens: only full blocks have names"));
  }
  if (end_tokens > StableTokens(*sequence)) {
    if (options.durable) return InStep("a durable name");
    ++silent_changes_;
    sequence->held_names.push_back(HeldName{sequence->newest_ticket(), options.block_first,
                                            std::vector<Digest>(keys.begin(), keys.end())});
    return absl::OkStatus();
  }
  KVP_RETURN_IF_ERROR(Report(sequence));
  std::vector<uint64_t> requests;
  for (size_t first = 0; first < keys.size(); first += pool().keys_per_command_max) {
    const auto piece = keys.subspan(first, pool().keys_per_command_max);
    const uint32_t block_first = options.block_first + static_cast<uint32_t>(first);
    KVP_ASSIGN_OR_RETURN(const uint64_t request,
                         SendName(sequence, block_first, piece, options.durable));
    if (options.durable) requests.push_back(request);
  }
  absl::Status result;
  for (const uint64_t request : requests) {
    const absl::Status named = Await(request, deadline).status();
    if (result.ok()) result = named;
  }
  return result;
}

absl::Status Client::SendHeldNames(Sequence* sequence, Ticket ended) {
  std::vector<HeldName> waiting;
  std::vector<HeldName> ready;
  for (HeldName& held : sequence->held_names) {
    (held.ticket.number <= ended.number ? ready : waiting).push_back(std::move(held));
  }
  sequence->held_names = std::move(waiting);
  if (!ready.empty()) KVP_RETURN_IF_ERROR(Report(sequence));
  for (const HeldName& held : ready) {
    const absl::Span<const Digest> keys(held.keys);
    for (size_t first = 0; first < keys.size(); first += pool().keys_per_command_max) {
      KVP_RETURN_IF_ERROR(SendName(sequence, held.block_first + static_cast<uint32_t>(first),
                                   keys.subspan(first, pool().keys_per_command_max),
                                   /*durable=*/false)
                              .status());
    }
  }
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
      const bool gone = entry.request.append_tokens > 0 && entry.begin_tokens >= tokens;
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
  KVP_ASSIGN_OR_RETURN(Sequence * sequence, Usable(handle));
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_RETURN_IF_ERROR(Resolve(sequence, deadline));
  if (sequence->in_step()) return InStep("resume");
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  KVP_ASSIGN_OR_RETURN(const uint64_t request, SendResume(sequence->id()));
  KVP_RETURN_IF_ERROR(Await(request, deadline).status());
  if (Sequence* resumed = FindByHandle(handle); resumed != nullptr) resumed->suspended = false;
  return absl::OkStatus();
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
  KVP_ASSIGN_OR_RETURN(Sequence * sequence, Usable(handle));
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_RETURN_IF_ERROR(Resolve(sequence, deadline));
  KVP_RETURN_IF_ERROR(WaitForRoom(deadline));
  KVP_ASSIGN_OR_RETURN(const uint64_t request, SendEvict(sequence->id(), tier));
  return Await(request, deadline).status();
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
  sequences_.erase(handle);
  if (id != 0) KVP_RETURN_IF_ERROR(PostClose(id));  // Else: closed when the fork is answered.
  // Lost blocks of a sequence that nobody wants any more are no news.
  return absl::IsDataLoss(remembered) ? absl::OkStatus() : remembered;
}

}  // namespace kvpager::engine
