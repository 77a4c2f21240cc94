#include "memmgr/core/steps.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "memmgr/base/check.h"
#include "memmgr/core/collector.h"
#include "memmgr/core/credits.h"
#include "memmgr/core/loss.h"
#include "memmgr/core/pinning.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/step_pages.h"
#include "memmgr/core/step_queue.h"

namespace kvpager {
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

void FailStep(CoreState& s, uint32_t slot, absl::StatusCode status, std::string_view reason,
              const QuotaRefusal& quota) {
  Step& step = s.steps.step(slot);
  KVP_CHECK(step.phase == StepPhase::kWaiting);
  Dequeue(s, slot);
  Reply& reply = s.Answer(step.client, step.request, status, reason);
  reply.kind = ReplyKind::kStepReady;
  reply.ticket = step.ticket;
  reply.wait = step.wait;
  reply.quota = quota;
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
    UndoCredit(s, wish.sequence);  // What it was taken for would have been said before.
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
  if (!s.PinnedStepsPassed(command.client, {body.ticket.lane, body.ticket.number - 1})) {
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
  if (s.collecting == slot) AbandonCollecting(s, slot);
  Account(s, s.steps.step(slot));
  FailStep(s, slot, absl::StatusCode::kAborted, "the step was cancelled");
  s.Answer(command.client, command.request, absl::StatusCode::kOk, "");
}

void AbortStep(CoreState& s, uint32_t slot) {
  if (s.collecting == slot) AbandonCollecting(s, slot);
  Step& step = s.steps.step(slot);
  if (step.phase == StepPhase::kWaiting) {
    FailStep(s, slot, absl::StatusCode::kAborted, "the engine is gone");
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
      WantCredit(s, entry.sequence);
    }
    if (!entry.tail_source.is_none()) DropReference(s, entry.tail_source);
    CutIfPossible(s, entry.sequence);
  });
  ReleaseSplitSlot(s, step);
  s.blocks.charges().NoteFreed(s.client(step.client).name_space);  // Its pins are gone.
  --s.client(step.client).steps;
  s.steps.Free(slot);
  s.progress = true;
  return true;
}

void SealAccepted(CoreState& s, Sequence& sequence, uint32_t position_first) {
  // A revoked engine may still write what its steps wrote.
  if (!sequence.client.is_none() && s.client(sequence.client).revoked) return;
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
