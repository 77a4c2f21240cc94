// engine_plugin/client_requests.cc
//
// How each request is put into a message.

#include <algorithm>
#include <cstring>
#include <vector>

#include "engine_plugin/client.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::engine {
namespace {

wire::Key ToWireKey(const Digest& digest) {
  uint64_t words[4];
  static_assert(sizeof(words) == sizeof(digest.bytes));
  std::memcpy(words, digest.bytes, sizeof(words));
  return wire::Key(words[0], words[1], words[2], words[3]);
}

std::vector<wire::Key> ToWireKeys(absl::Span<const Digest> keys) {
  std::vector<wire::Key> result;
  result.reserve(keys.size());
  for (const Digest& key : keys) result.push_back(ToWireKey(key));
  return result;
}

}  // namespace

absl::StatusOr<uint64_t> Client::SendOpen(absl::Span<const Digest> keys, const Pending& pending) {
  auto& builder = exchange_.builder();
  const auto wire_keys = builder.CreateVectorOfStructs(ToWireKeys(keys));
  return exchange_.Queue(wire::CreateOpenRequest(builder, wire_keys), pending);
}

absl::StatusOr<uint64_t> Client::SendExtend(uint64_t id, absl::Span<const Digest> keys,
                                            const Pending& pending) {
  auto& builder = exchange_.builder();
  const auto wire_keys = builder.CreateVectorOfStructs(ToWireKeys(keys));
  return exchange_.Queue(wire::CreateExtendRequest(builder, id, wire_keys), pending);
}

absl::StatusOr<uint64_t> Client::SendFork(uint64_t parent, Ticket after, const Pending& pending) {
  const wire::Ticket ticket = ToWire(after);
  auto& builder = exchange_.builder();
  return exchange_.Queue(wire::CreateForkRequest(builder, parent, &ticket), pending);
}

absl::Status Client::SendSuspend(const Sequence* sequence) {
  Pending pending;
  pending.sequence = sequence->handle();
  const wire::Ticket ticket = ToWire(sequence->newest_ticket());
  auto& builder = exchange_.builder();
  return exchange_.Queue(wire::CreateSuspendRequest(builder, sequence->id(), &ticket), pending)
      .status();
}

absl::Status Client::SendAppended(Sequence* sequence, uint64_t written_tokens) {
  Pending pending;
  pending.unanswered = true;
  const uint64_t told_tokens = sequence->told_tokens();
  const uint64_t length_tokens = std::max(told_tokens, sequence->length_tokens());
  auto& builder = exchange_.builder();
  KVP_RETURN_IF_ERROR(
      exchange_
          .Queue(wire::CreateAppendedRequest(builder, sequence->id(), told_tokens,
                                             static_cast<uint32_t>(length_tokens - told_tokens),
                                             written_tokens),
                 pending)
          .status());
  sequence->set_told_tokens(length_tokens);
  sequence->credit.reset();  // It is part of the sequence now.
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Client::SendResume(uint64_t id, const Pending& pending) {
  auto& builder = exchange_.builder();
  return exchange_.Queue(wire::CreateResumeRequest(builder, id), pending);
}

absl::StatusOr<uint64_t> Client::SendEvict(uint64_t id, Tier tier, const Pending& pending) {
  auto& builder = exchange_.builder();
  return exchange_.Queue(wire::CreateEvictRequest(builder, id, static_cast<uint32_t>(tier)),
                         pending);
}

absl::StatusOr<uint64_t> Client::SendStepCancel(Ticket cancelled) {
  Pending pending;
  pending.urgent = true;
  pending.awaited = true;
  const wire::Ticket ticket = ToWire(cancelled);
  auto& builder = exchange_.builder();
  return exchange_.Queue(wire::CreateStepCancelRequest(builder, &ticket), pending);
}

absl::Status Client::PostTruncate(Sequence* sequence, uint64_t tokens, Ticket ticket,
                                  Accept accept) {
  if (sequence->id() == 0) return absl::OkStatus();  // A fork: cut when it has its id.
  // What the daemon was never told of needs no cutting.
  if (accept == Accept::kNo && tokens >= sequence->told_tokens()) return absl::OkStatus();
  sequence->GiveUpTail();
  sequence->set_told_tokens(std::min(sequence->told_tokens(), tokens));
  Pending pending;
  pending.sequence = sequence->handle();
  pending.tokens = tokens;
  const wire::Ticket wire_ticket = ToWire(ticket);
  auto& builder = exchange_.builder();
  return exchange_
      .Queue(wire::CreateTruncateRequest(builder, sequence->id(), tokens, accept == Accept::kYes,
                                         &wire_ticket),
             pending)
      .status();
}

absl::Status Client::PostClose(uint64_t id) {
  const wire::Ticket ticket = ToWire(Ticket{});
  auto& builder = exchange_.builder();
  return exchange_.Queue(wire::CreateCloseRequest(builder, id, &ticket), Pending{}).status();
}

absl::Status Client::PostStepEnd(Ticket ended) {
  Pending pending;
  pending.urgent = true;
  pending.unanswered = true;
  const wire::Ticket ticket = ToWire(ended);
  auto& builder = exchange_.builder();
  return exchange_.Queue(wire::CreateStepEndRequest(builder, &ticket), pending).status();
}

absl::StatusOr<uint64_t> Client::SendName(const Sequence* sequence, uint32_t block_first,
                                          absl::Span<const Digest> keys, NameHow how,
                                          Pending pending) {
  pending.sequence = sequence->handle();
  const wire::Ticket ticket = ToWire(Ticket{});  // No open step writes these blocks: see Name.
  auto& builder = exchange_.builder();
  const auto wire_keys = builder.CreateVectorOfStructs(ToWireKeys(keys));
  return exchange_.Queue(wire::CreateNameRequest(builder, sequence->id(), block_first, wire_keys,
                                                 how == NameHow::kDurably, &ticket),
                         pending);
}

absl::StatusOr<uint64_t> Client::SendStepBegin(Step* step, uint64_t rewrite_from_tokens) {
  std::vector<wire::StepEntry> entries;
  entries.reserve(step->entries().size());
  for (const StepEntry& entry : step->entries()) {
    const StepEntryRequest& request = *entry.request;
    entries.emplace_back(entry.sequence->id(), request.append_tokens, request.draft != 0,
                         request.first_group, request.num_groups, request.first_block,
                         request.num_blocks, rewrite_from_tokens);
  }
  Pending pending;
  pending.step = step;
  const wire::Ticket ticket = ToWire(step->ticket());
  auto& builder = exchange_.builder();
  const auto wire_entries = builder.CreateVectorOfStructs(entries);
  return exchange_.Queue(
      wire::CreateStepBeginRequest(builder, &ticket, static_cast<uint32_t>(step->residency()),
                                   wire_entries),
      pending);
}

absl::StatusOr<uint64_t> Client::SendPrefetch(uint64_t id, absl::Span<const Digest> keys,
                                              const PrefetchOptions& options) {
  auto& builder = exchange_.builder();
  const auto wire_keys = builder.CreateVectorOfStructs(ToWireKeys(keys));
  return exchange_.Queue(
      wire::CreatePrefetchRequest(builder, id, wire_keys, static_cast<uint32_t>(options.tier),
                                  options.deadline_us, options.priority),
      Pending{});
}

}  // namespace kvpager::engine
