#include "memmgr/core/sequences.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "memmgr/base/check.h"
#include "memmgr/base/units.h"
#include "memmgr/core/background.h"
#include "memmgr/core/collector.h"
#include "memmgr/core/credits.h"
#include "memmgr/core/naming.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/step_queue.h"
#include "memmgr/core/steps.h"

namespace kvpager {
namespace {

using absl::StatusCode;

// The slowest of the tiers that a page of the block must come from.
Tier SlowestTier(const CoreState& s, BlockIndex index) {
  Tier slowest = Tier::kHbm;
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const Page& page = s.blocks.page(s.blocks.page_of(index, group));
    Tier nearest = Tier::kNvme;
    const CopyState hbm = page.copy(Tier::kHbm).state;
    if (page.copy(Tier::kHost).valid()) nearest = Tier::kHost;
    if (hbm == CopyState::kValid || hbm == CopyState::kRetiring) nearest = Tier::kHbm;
    slowest = std::max(slowest, nearest);
  }
  return slowest;
}

// Appends known blocks until a key is unknown. Fills what the reply says of it.
uint32_t Reuse(CoreState& s, Sequence& sequence, absl::Span<const BlockKey> keys,
               std::array<uint32_t, kTierCount>* hits) {
  uint32_t reused = 0;
  for (const BlockKey& key : keys) {
    const BlockIndex index = key.is_none() ? BlockIndex{} : s.index.Find(key);
    if (index.is_none()) break;
    Block& block = s.blocks.block(index);
    if (block.name_space != sequence.name_space && !block.restored) break;
    s.blocks.SetNamespace(index, sequence.name_space);  // Restored: whose it is, its key says.
    // Its parent too, if that was restored after it: tails are older than heads.
    if (sequence.blocks > 0 && block.restored && s.blocks.ParentOf(index).is_none()) {
      const BlockIndex parent = Canonical(s, s.sequences.Back(sequence));
      if (parent != index) s.blocks.SetParent(index, parent);
    }
    if (!s.sequences.PushBack(sequence, index)) break;
    if (block.touches < UINT8_MAX) ++block.touches;
    s.blocks.Admit(index);
    s.blocks.AddReference(index);
    ++(*hits)[TierIndex(SlowestTier(s, index))];
    ++reused;
  }
  sequence.length_tokens += uint64_t{reused} * s.limits.page_tokens;
  sequence.accepted_tokens = sequence.length_tokens;
  // Tail before head, so that heads are younger (R8).
  if (reused > 0) {
    SequenceTable::Walk walk(s.sequences, sequence, sequence.blocks - 1);
    for (uint32_t i = 0; i < reused; ++i, walk.Previous()) s.blocks.Touch(walk.block());
  }
  return reused;
}

void AnswerReuse(CoreState& s, const Command& command, SequenceId id,
                 absl::Span<const BlockKey> keys) {
  Sequence& sequence = *s.sequences.Find(id);
  const uint32_t before = sequence.blocks;
  std::array<uint32_t, kTierCount> hits{};
  const uint32_t reused = Reuse(s, sequence, keys, &hits);
  s.metrics.lookup_blocks += keys.size();
  for (size_t tier = 0; tier < kTierCount; ++tier) s.metrics.hit_blocks[tier] += hits[tier];
  Reply& reply = s.Answer(command.client, command.request, StatusCode::kOk, "");
  reply.sequence = id;
  reply.tokens = uint64_t{reused} * s.limits.page_tokens;
  reply.hit_blocks = hits;
  s.AttachUpdate(reply, id, sequence.length_tokens, before);
}

void Refuse(CoreState& s, const Command& command, StatusCode status, std::string_view reason) {
  s.Answer(command.client, command.request, status, reason);
}

// The sequence, if it is open and the client's own; else the command is answered.
Sequence* FindOwn(CoreState& s, const Command& command, SequenceId id) {
  Sequence* sequence = s.sequences.Find(id);
  if (sequence != nullptr && sequence->client == command.client &&
      sequence->phase == SequencePhase::kOpen) {
    return sequence;
  }
  Refuse(s, command, StatusCode::kNotFound, "no such sequence");
  return nullptr;
}

}  // namespace

// ---- Clients

namespace {

// Frames wait for its lanes no more.
void StopWaitingFor(CoreState& s, ClientId client) {
  LaneUser& user = s.lane_users[client.value];
  if (user.message_free) s.blocks.CountUnseenReaders(user.name_space, -1);
  user = LaneUser{};
  s.blocks.limbo().Forget(client);
}

}  // namespace

void Attach(CoreState& s, const Command& command, const AttachCommand& body) {
  KVP_CHECK_LT(command.client.value, s.clients.size());
  KVP_CHECK_LT(body.name_space.value, s.limits.namespaces_max);
  Client& client = s.client(command.client);
  KVP_CHECK(!client.attached);
  client = Client{};
  client.attached = true;
  client.name_space = body.name_space;
  s.blocks.limbo().Forget(command.client);
  s.lane_users[command.client.value] = {body.message_free, body.name_space, {}};
  if (body.message_free) s.blocks.CountUnseenReaders(body.name_space, 1);
  s.Answer(command.client, command.request, StatusCode::kOk, "");
}

void Gone(CoreState& s, const Command& command) {
  Client& client = s.client(command.client);
  KVP_CHECK(client.attached);
  if (client.revoked) {
    // Nobody writes any more: what is still to be let go of is free at once.
    client.revoked = false;
    s.blocks.quarantine().End(command.client, [&s](FrameIndex frame, NamespaceId name_space) {
      s.blocks.GiveLeaving(frame, name_space);
    });
    if (client.taken_apart) FreeClient(s, command.client);
    s.progress = true;
    return;
  }
  if (client.gone) return;
  client.gone = true;
  s.PushJob({.kind = JobKind::kGone, .client = command.client});
}

// What it reads may be reused at once: whoever was revoked is told so before he may use what he
// has read.
void Revoke(CoreState& s, const Command& command) {
  Client& client = s.client(command.client);
  client.gone = client.revoked = true;
  s.blocks.quarantine().Begin(command.client);
  StopWaitingFor(s, command.client);
  s.PushJob({.kind = JobKind::kGone, .client = command.client});
}

void FreeClient(CoreState& s, ClientId client) {
  StopWaitingFor(s, client);
  s.client(client) = Client{};
  s.Notify(client, ReplyKind::kClientReleased);
}

// ---- Opening

void OpenSequence(CoreState& s, const Command& command, const OpenCommand& body) {
  if (body.keys.size() > s.limits.keys_per_command_max) {
    Refuse(s, command, StatusCode::kInvalidArgument, "too many keys in one message; extend later");
    return;
  }
  Client& client = s.client(command.client);
  const SequenceId id = s.sequences.Open(command.client, client.name_space);
  if (id.is_none()) {
    Refuse(s, command, StatusCode::kResourceExhausted,
           "too many open sequences; close some, or raise limits.sequences");
    return;
  }
  ++client.sequences;
  AnswerReuse(s, command, id, body.keys);
}

void ExtendSequence(CoreState& s, const Command& command, const ExtendCommand& body) {
  Sequence* sequence = FindOwn(s, command, body.sequence);
  if (sequence == nullptr) return;
  if (body.keys.size() > s.limits.keys_per_command_max) {
    Refuse(s, command, StatusCode::kInvalidArgument, "too many keys in one message; extend later");
    return;
  }
  const bool whole = sequence->length_tokens == uint64_t{sequence->blocks} * s.limits.page_tokens;
  if (sequence->steps > 0 || sequence->busy > 0 || sequence->deferred > 0 || !whole) {
    Refuse(s, command, StatusCode::kFailedPrecondition,
           "only a sequence of full blocks that is in no step can be extended");
    return;
  }
  AnswerReuse(s, command, body.sequence, body.keys);
}

// ---- Steps without a message

namespace {

// Empty if the rows may be there without a step.
std::string_view CheckAppended(const CoreState& s, const Sequence& sequence,
                               const AppendedCommand& body) {
  const uint32_t page_tokens = s.limits.page_tokens;
  const uint64_t rows = body.length_tokens % page_tokens;
  const uint64_t capacity_tokens = uint64_t{sequence.blocks} * page_tokens;
  if (rows > 0) {
    const Block& tail = s.blocks.block(s.sequences.Back(sequence));
    if (tail.phase != BlockPhase::kOpen) {
      return "only rows behind the last ones of an open block can be appended without a step";
    }
    if (tail.references > 1 && tail.filled_tokens != rows) return "somebody else's rows are there";
  }
  if (body.length_tokens + body.tokens > capacity_tokens + page_tokens) {
    return "more than the open block and a credit hold";
  }
  return "";
}

// Steps that have ended wrote them: what they filled is sealed.
void AcceptWritten(CoreState& s, Sequence& sequence, uint64_t written_tokens) {
  written_tokens = std::min(written_tokens, sequence.length_tokens);
  if (written_tokens <= sequence.accepted_tokens) return;
  const auto first = static_cast<uint32_t>(sequence.accepted_tokens / s.limits.page_tokens);
  sequence.accepted_tokens = written_tokens;
  SealAccepted(s, sequence, first);
}

}  // namespace

void NoteAppended(CoreState& s, const Command& command, const AppendedCommand& body) {
  Sequence* sequence = FindOwn(s, command, body.sequence);
  if (sequence == nullptr) return;
  const bool moved = body.tokens > 0 && sequence->length_tokens != body.length_tokens;
  if (moved || sequence->cut_blocks != kNotCut) {
    Refuse(s, command, StatusCode::kFailedPrecondition, "the sequence has another length by now");
    return;
  }
  if (body.tokens > 0) {
    const std::string_view problem = CheckAppended(s, *sequence, body);
    if (!problem.empty()) {
      Refuse(s, command, StatusCode::kInvalidArgument, problem);
      return;
    }
    const uint32_t blocks_before = sequence->blocks;
    const uint64_t capacity_tokens = uint64_t{blocks_before} * s.limits.page_tokens;
    const uint64_t length_tokens = body.length_tokens + body.tokens;
    if (length_tokens > capacity_tokens) {
      if (!UseCredit(s, body.sequence)) {
        Refuse(s, command, StatusCode::kInvalidArgument, "the sequence has no credit");
        return;
      }
      s.blocks.block(s.sequences.Back(*sequence)).filled_tokens =
          static_cast<uint16_t>(length_tokens - capacity_tokens);
      WantCredit(s, body.sequence);
    }
    if (body.length_tokens < capacity_tokens) {
      const uint64_t empty_tokens = capacity_tokens - std::min(capacity_tokens, length_tokens);
      s.blocks.block(s.sequences.At(*sequence, blocks_before - 1)).filled_tokens =
          static_cast<uint16_t>(s.limits.page_tokens - empty_tokens);
    }
    sequence->length_tokens = length_tokens;
    sequence->unseen_tokens = length_tokens;
  }
  AcceptWritten(s, *sequence, body.written_tokens);
  Refuse(s, command, StatusCode::kOk, "");
}

void NoteUsed(CoreState& s, const Command& command, const UsedCommand& body) {
  Sequence* sequence = s.sequences.Find(body.sequence);
  if (sequence == nullptr || sequence->client != command.client || sequence->suspended) return;
  TouchBlocks(s, *sequence);
}

SequenceId OpenOwn(CoreState& s, NamespaceId name_space, absl::Span<const BlockKey> keys) {
  const SequenceId id = s.sequences.Open(ClientId{}, name_space);
  if (id.is_none()) return id;
  std::array<uint32_t, kTierCount> hits{};
  Reuse(s, *s.sequences.Find(id), keys, &hits);
  return id;
}

SequenceId ShareOwn(CoreState& s, const Sequence& parent, uint32_t blocks) {
  const SequenceId id = s.sequences.Open(ClientId{}, parent.name_space);
  if (id.is_none()) return id;
  Sequence& own = *s.sequences.Find(id);
  SequenceTable::Walk walk(s.sequences, parent, 0);
  for (; walk.valid() && walk.position() < blocks; walk.Next()) {
    if (!s.sequences.PushBack(own, walk.block())) {
      QueueClose(s, id, ClientId{}, 0);
      return SequenceId{};
    }
    s.blocks.AddReference(walk.block());
  }
  own.length_tokens = uint64_t{own.blocks} * s.limits.page_tokens;
  own.accepted_tokens = own.length_tokens;
  return id;
}

void QueueClose(CoreState& s, SequenceId id, ClientId client, uint64_t request) {
  Sequence& sequence = *s.sequences.Find(id);
  KVP_CHECK(sequence.phase == SequencePhase::kOpen);
  sequence.phase = SequencePhase::kClosing;
  ++sequence.busy;
  ForgetBackground(s, id);
  s.PushJob({.kind = JobKind::kClose, .client = client, .request = request, .sequence = id});
}

// ---- Changing

namespace {

void Fork(CoreState& s, const Command& command, const ForkCommand& body) {
  Client& client = s.client(command.client);
  const SequenceId child = s.sequences.Open(command.client, client.name_space);
  if (child.is_none()) {
    Refuse(s, command, StatusCode::kResourceExhausted,
           "too many open sequences; close some, or raise limits.sequences");
    return;
  }
  ++client.sequences;
  Sequence& parent = *s.sequences.Find(body.parent);
  ++parent.busy;
  ++s.sequences.Find(child)->busy;
  s.PushJob({.kind = JobKind::kFork,
             .client = command.client,
             .request = command.request,
             .sequence = child,
             .parent = body.parent,
             .tokens = parent.length_tokens});
}

void Truncate(CoreState& s, const Command& command, const TruncateCommand& body) {
  Sequence& sequence = *s.sequences.Find(body.sequence);
  if (body.tokens > sequence.length_tokens) {
    Refuse(s, command, StatusCode::kInvalidArgument, "the sequence has fewer tokens than that");
    return;
  }
  ++sequence.busy;
  s.PushJob({.kind = JobKind::kTruncate,
             .client = command.client,
             .request = command.request,
             .sequence = body.sequence,
             .tokens = body.tokens,
             .accept = body.accept});
}

void Suspend(CoreState& s, const Command& command, const SuspendCommand& body) {
  Sequence& sequence = *s.sequences.Find(body.sequence);
  sequence.suspended = true;
  DropCredit(s, body.sequence);
  // First in line: what it alone holds goes to the cold end, its tail last of all to be used again.
  for (SequenceTable::Walk walk(s.sequences, sequence, 0); walk.valid(); walk.Next()) {
    s.Spend();
    if (s.blocks.block(walk.block()).references > 1) continue;
    s.blocks.SetMovable(walk.block(), true);
    s.blocks.Cool(walk.block());
  }
  Refuse(s, command, StatusCode::kOk, "");
}

void Resume(CoreState& s, const Command& command, const ResumeCommand& body) {
  Sequence& sequence = *s.sequences.Find(body.sequence);
  sequence.suspended = false;
  for (SequenceTable::Walk walk(s.sequences, sequence, 0); walk.valid(); walk.Next()) {
    s.Spend();
    s.blocks.SetMovable(walk.block(), false);
  }
  Refuse(s, command, StatusCode::kOk, "");
}

struct Target {
  SequenceId sequence;
  Ticket ticket;       // Number 0: none.
  bool needs_no_step;  // Refused while a step names the sequence.
};

Target TargetOf(const Command& command) {
  if (const auto* fork = std::get_if<ForkCommand>(&command.body)) {
    return {fork->parent, fork->ticket, false};
  }
  if (const auto* truncate = std::get_if<TruncateCommand>(&command.body)) {
    return {truncate->sequence, truncate->ticket, true};
  }
  if (const auto* name = std::get_if<NameCommand>(&command.body)) {
    return {name->sequence, name->ticket, false};
  }
  if (const auto* suspend = std::get_if<SuspendCommand>(&command.body)) {
    return {suspend->sequence, suspend->ticket, true};
  }
  if (const auto* close = std::get_if<CloseCommand>(&command.body)) {
    return {close->sequence, close->ticket, true};
  }
  return {std::get<ResumeCommand>(command.body).sequence, Ticket{}, false};
}

// A step that was asked for before `order` names the sequence. Younger ones wait behind the
// command.
bool InOlderStep(CoreState& s, SequenceId id, uint64_t order) {
  if (s.sequences.Find(id)->steps == 0) return false;
  bool named = false;
  for (uint32_t slot = 0; slot < s.steps.slots(); ++slot) {
    const Step& step = s.steps.step(slot);
    if (step.phase == StepPhase::kFree || step.age > order) continue;
    ForEachEntry(s, step,
                 [&](const EntryState& entry, const Sequence&) { named |= entry.sequence == id; });
  }
  return named;
}

// REQUIRES: the sequence is open, nothing is before it, its ticket has passed.
void Apply(CoreState& s, const Command& command, uint64_t order) {
  const Target target = TargetOf(command);
  if (target.needs_no_step && InOlderStep(s, target.sequence, order)) {
    Refuse(s, command, StatusCode::kFailedPrecondition,
           "the sequence is in a step that is newer than the ticket");
    return;
  }
  if (const auto* fork = std::get_if<ForkCommand>(&command.body)) {
    Fork(s, command, *fork);
  } else if (const auto* truncate = std::get_if<TruncateCommand>(&command.body)) {
    Truncate(s, command, *truncate);
  } else if (const auto* name = std::get_if<NameCommand>(&command.body)) {
    NameBlocks(s, command, *name);
  } else if (const auto* suspend = std::get_if<SuspendCommand>(&command.body)) {
    Suspend(s, command, *suspend);
  } else if (const auto* resume = std::get_if<ResumeCommand>(&command.body)) {
    Resume(s, command, *resume);
  } else {
    QueueClose(s, target.sequence, command.client, command.request);
  }
}

bool Defer(CoreState& s, const Command& command, const Target& target) {
  const bool close = std::holds_alternative<CloseCommand>(command.body);
  if (!close && s.deferred_count >= s.limits.deferred_max) return false;
  const uint32_t slot = s.deferred_free;
  KVP_CHECK(slot != kNoSlot);
  Deferred& row = s.deferred[slot];
  s.deferred_free = row.next;
  row = Deferred{
      .order = ++s.order, .command = command, .sequence = target.sequence, .ticket = target.ticket};
  if (auto* name = std::get_if<NameCommand>(&row.command.body)) {
    row.keys = s.deferred_keys_free.back();
    s.deferred_keys_free.pop_back();
    auto& keys = s.deferred_keys[row.keys];
    KVP_CHECK_LE(name->keys.size(), keys.size());
    std::copy(name->keys.begin(), name->keys.end(), keys.begin());
    name->keys = absl::MakeConstSpan(keys.data(), name->keys.size());
  }
  (s.deferred_last == kNoSlot ? s.deferred_first : s.deferred[s.deferred_last].next) = slot;
  s.deferred_last = slot;
  Sequence& sequence = *s.sequences.Find(target.sequence);
  ++sequence.deferred;
  sequence.closing = close;
  if (!close) ++s.deferred_count;
  return true;
}

void FreeDeferred(CoreState& s, uint32_t slot) {
  Deferred& row = s.deferred[slot];
  if (row.keys != kNoSlot) s.deferred_keys_free.push_back(row.keys);
  if (!std::holds_alternative<CloseCommand>(row.command.body)) --s.deferred_count;
  row.next = s.deferred_free;
  s.deferred_free = slot;
}

}  // namespace

void ChangeSequence(CoreState& s, const Command& command) {
  const Target target = TargetOf(command);
  Sequence* sequence = FindOwn(s, command, target.sequence);
  if (sequence == nullptr) return;
  if (sequence->closing) {
    Refuse(s, command, StatusCode::kNotFound, "the sequence is being closed");
    return;
  }
  const auto* name = std::get_if<NameCommand>(&command.body);
  if (name != nullptr &&
      name->keys.size() > std::min(s.limits.keys_per_command_max, kDeferredKeysMax)) {
    Refuse(s, command, StatusCode::kInvalidArgument, "too many keys in one message; split them");
    return;
  }
  if (target.ticket.lane >= kLanesMax) {
    Refuse(s, command, StatusCode::kInvalidArgument, "no such lane");
    return;
  }
  const bool first = sequence->deferred == 0 && sequence->busy == 0;
  // Sealed blocks may be named at once, whatever still runs.
  const bool quiet = s.TicketPassed(command.client, target.ticket) ||
                     (name != nullptr && AllSealed(s, *sequence, *name));
  if (first && quiet) {
    Apply(s, command, s.order);
    return;
  }
  if (!Defer(s, command, target)) {
    Refuse(s, command, StatusCode::kResourceExhausted,
           "too many commands wait for a step to end; end some steps first");
  }
}

void RunDeferred(CoreState& s) {
  const uint64_t pass = ++s.passes;
  uint32_t before = kNoSlot;
  for (uint32_t slot = s.deferred_first; slot != kNoSlot && s.budget > 0;) {
    Deferred& row = s.deferred[slot];
    const uint32_t next = row.next;
    Sequence* sequence = s.sequences.Find(row.sequence);
    KVP_CHECK(sequence != nullptr);
    const bool gone = s.client(row.command.client).gone || sequence->phase != SequencePhase::kOpen;
    const bool blocked = sequence->mark == pass || sequence->busy > 0 ||
                         !s.TicketPassed(row.command.client, row.ticket);
    if (blocked && !gone) {
      sequence->mark = pass;  // Younger ones of this sequence wait too.
      before = slot;
      slot = next;
      continue;
    }
    if (!s.EffectsHaveRoom()) return;
    (before == kNoSlot ? s.deferred_first : s.deferred[before].next) = next;
    if (s.deferred_last == slot) s.deferred_last = before;
    --sequence->deferred;
    if (std::holds_alternative<CloseCommand>(row.command.body)) sequence->closing = false;
    s.Spend();
    if (gone) {
      Refuse(s, row.command, StatusCode::kNotFound, "no such sequence");
    } else {
      Apply(s, row.command, row.order);
    }
    FreeDeferred(s, slot);
    s.progress = true;
    slot = next;
  }
}

}  // namespace kvpager
