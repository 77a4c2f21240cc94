// The jobs of sequences.h: work that may take more than one input's budget (R10).

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "memmgr/base/check.h"
#include "memmgr/base/units.h"
#include "memmgr/core/credits.h"
#include "memmgr/core/loss.h"
#include "memmgr/core/sequences.h"
#include "memmgr/core/steps.h"

namespace kvpager {
namespace {

// kMore: the budget is spent, go on here. kLater: others must go first.
enum class JobResult : uint8_t { kDone, kMore, kLater };

// A loss waits for no ticket: frames of what is cut may be read by steps that nobody told us of.
void MarkCut(CoreState& s, const Sequence& sequence) {
  if (sequence.client.is_none() || !s.lane_users[sequence.client.value].message_free) return;
  SequenceTable::Walk walk(s.sequences, sequence, std::min(sequence.cut_blocks, sequence.blocks));
  for (; walk.valid(); walk.Next()) s.blocks.block(walk.block()).cut_unseen = true;
}

// Lets go of blocks from the tail on. False if the budget is spent before `blocks_left` are left.
bool Shorten(CoreState& s, Sequence& sequence, uint32_t blocks_left) {
  while (sequence.blocks > blocks_left) {
    if (!s.Spend(s.limits.num_groups)) return false;
    DropReference(s, s.sequences.PopBack(sequence));
  }
  return true;
}

uint32_t BlocksFor(const CoreState& s, uint64_t tokens) {
  return static_cast<uint32_t>(CeilDiv(tokens, s.limits.page_tokens));
}

JobResult RunTruncate(CoreState& s, const Job& job) {
  Sequence& sequence = *s.sequences.Find(job.sequence);
  const uint64_t tokens = std::min(job.tokens, sequence.length_tokens);
  if (!Shorten(s, sequence, BlocksFor(s, tokens))) return JobResult::kMore;
  UndoCredit(s, job.sequence);
  sequence.length_tokens = tokens;
  const uint64_t accepted = sequence.accepted_tokens;
  sequence.accepted_tokens = job.accept ? tokens : std::min(accepted, tokens);
  sequence.unseen_tokens = std::min(sequence.unseen_tokens, tokens);
  if (job.accept) {
    SealAccepted(s, sequence,
                 static_cast<uint32_t>(std::min(accepted, tokens) / s.limits.page_tokens));
  }
  --sequence.busy;
  Reply& reply = s.Answer(job.client, job.request, absl::StatusCode::kOk, "");
  reply.sequence = job.sequence;
  reply.tokens = tokens;
  s.AttachUpdate(reply, job.sequence, tokens, sequence.blocks);
  return JobResult::kDone;
}

JobResult RunCut(CoreState& s, const Job& job) {
  Sequence& sequence = *s.sequences.Find(job.sequence);
  KVP_CHECK_EQ(sequence.steps_ready, 0u);
  DropCredit(s, job.sequence);
  MarkCut(s, sequence);
  if (sequence.cut_blocks < sequence.blocks && !Shorten(s, sequence, sequence.cut_blocks)) {
    return JobResult::kMore;
  }
  const uint64_t tokens = uint64_t{sequence.cut_blocks} * s.limits.page_tokens;
  sequence.length_tokens = std::min(sequence.length_tokens, tokens);
  sequence.accepted_tokens = std::min(sequence.accepted_tokens, sequence.length_tokens);
  sequence.unseen_tokens = std::min(sequence.unseen_tokens, sequence.length_tokens);
  sequence.cut_blocks = kNotCut;
  sequence.cut_queued = false;
  ++sequence.losses;  // Steps asked for since the loss did not know of it either.
  --sequence.busy;
  if (sequence.client.is_none()) return JobResult::kDone;
  Reply& notice = s.Notify(sequence.client, ReplyKind::kLossNotice);
  notice.status = absl::StatusCode::kDataLoss;
  notice.reason = "a block of the sequence was lost; recompute it";
  notice.sequence = job.sequence;
  notice.tokens = sequence.length_tokens;
  s.AttachUpdate(notice, job.sequence, sequence.length_tokens, sequence.blocks);
  return JobResult::kDone;
}

JobResult RunFork(CoreState& s, const Job& job) {
  Sequence& parent = *s.sequences.Find(job.parent);
  Sequence& child = *s.sequences.Find(job.sequence);
  const uint32_t blocks = std::min(BlocksFor(s, job.tokens), parent.blocks);
  SequenceTable::Walk walk(s.sequences, parent, child.blocks);
  for (; walk.valid() && walk.position() < blocks; walk.Next()) {
    if (!s.Spend()) return JobResult::kMore;
    if (!s.sequences.PushBack(child, walk.block())) {
      --parent.busy;
      --child.busy;
      QueueClose(s, job.sequence, ClientId{}, 0);
      s.Answer(job.client, job.request, absl::StatusCode::kResourceExhausted,
               "no room for more blocks in open sequences; close some, or raise limits.sequences");
      return JobResult::kDone;
    }
    s.blocks.AddReference(walk.block());
  }
  child.length_tokens = job.tokens;
  child.accepted_tokens = std::min(parent.accepted_tokens, job.tokens);
  child.unseen_tokens = std::min(parent.unseen_tokens, job.tokens);
  // What its parent lost, it has lost too.
  child.cut_blocks = parent.cut_blocks;
  --parent.busy;
  --child.busy;
  if (child.cut_blocks != kNotCut) {
    ++child.losses;
    CutIfPossible(s, job.sequence);
  }
  Reply& reply = s.Answer(job.client, job.request, absl::StatusCode::kOk, "");
  reply.sequence = job.sequence;
  reply.tokens = job.tokens;
  s.AttachUpdate(reply, job.sequence, job.tokens, 0);
  return JobResult::kDone;
}

JobResult RunClose(CoreState& s, const Job& job) {
  Sequence& sequence = *s.sequences.Find(job.sequence);
  if (sequence.deferred > 0 || sequence.busy > 1) return JobResult::kLater;
  DropCredit(s, job.sequence);
  if (!Shorten(s, sequence, 0)) return JobResult::kMore;
  --sequence.busy;
  if (!sequence.client.is_none()) --s.client(sequence.client).sequences;
  s.sequences.Free(job.sequence);
  s.Answer(job.client, job.request, absl::StatusCode::kOk, "");
  return JobResult::kDone;
}

JobResult RunGone(CoreState& s, const Job& job) {
  Client& client = s.client(job.client);
  while (client.unready_first != kNoSlot) AbortStep(s, client.unready_first);
  for (uint32_t slot = 0; slot < s.steps.slots() && client.steps > 0; ++slot) {
    const Step& step = s.steps.step(slot);
    if (step.phase == StepPhase::kReady && step.client == job.client) AbortStep(s, slot);
  }
  if (client.steps > 0) return JobResult::kLater;
  for (DurableName& name : s.durable_names) {
    if (name.in_use && name.client == job.client) name.request = 0;  // Nobody to tell.
  }
  for (uint32_t slot = 0; slot < s.sequences.slots() && client.sequences > 0; ++slot) {
    const Sequence& sequence = s.sequences.at_slot(slot);
    if (sequence.phase != SequencePhase::kOpen || sequence.client != job.client) continue;
    QueueClose(s, s.sequences.id_of(slot), job.client, 0);
  }
  if (client.sequences > 0) return JobResult::kLater;
  if (client.revoked) {
    client.taken_apart = true;
    s.Notify(job.client, ReplyKind::kClientRevoked);
  } else {
    FreeClient(s, job.client);
  }
  return JobResult::kDone;
}

JobResult RunJob(CoreState& s, const Job& job) {
  switch (job.kind) {
    case JobKind::kEndStep:
      return RunEndStep(s, job.step) ? JobResult::kDone : JobResult::kMore;
    case JobKind::kTruncate:
      return RunTruncate(s, job);
    case JobKind::kFork:
      return RunFork(s, job);
    case JobKind::kClose:
      return RunClose(s, job);
    case JobKind::kCut:
      return RunCut(s, job);
    case JobKind::kGone:
      return RunGone(s, job);
  }
  return JobResult::kDone;
}

void PopJob(CoreState& s, JobQueue& queue) {
  const uint32_t slot = queue.first;
  queue.first = s.jobs[slot].next;
  if (queue.first == kNoSlot) queue.last = kNoSlot;
  s.jobs[slot].next = s.job_free;
  s.job_free = slot;
  --queue.count;
  --s.job_count;
}

// Runs the queue's jobs, each once, until all have been looked at or the budget is spent.
void RunQueue(CoreState& s, JobQueue& queue) {
  for (; queue.left > 0; --queue.left) {
    if (s.budget == 0 || !s.EffectsHaveRoom()) return;
    const Job job = s.jobs[queue.first];
    const uint32_t count_before = s.job_count;
    const JobResult result = RunJob(s, job);
    if (result == JobResult::kMore) return;
    PopJob(s, queue);
    if (result == JobResult::kLater) {
      const bool fresh = s.jobs_fresh;
      s.PushJob(job);
      s.jobs_fresh = fresh;
      if (s.job_count > count_before) s.progress = true;  // It waits for what it has just started.
    } else {
      s.progress = true;
    }
  }
}

bool StepsWait(const CoreState& s) {
  for (const Client& client : s.clients) {
    if (client.unready_first != kNoSlot && !client.gone) return true;
  }
  return false;
}

}  // namespace

// Clients in turn, a slice of the budget each: whoever closes a million blocks delays nobody else's
// step by more than the others' slices. While steps wait, a part of the budget is theirs.
void RunJobs(CoreState& s) {
  if (s.job_count == 0) return;
  constexpr uint32_t kSlices = 8;
  const uint32_t slice = std::max(1u, s.limits.pages_per_input / kSlices);
  const uint32_t kept = StepsWait(s) ? s.limits.pages_per_input / 4 : 0;
  if (s.budget <= kept) {
    s.jobs_cut |= s.jobs_fresh;
    return;
  }
  s.jobs_fresh = false;
  uint32_t queues_left = 0;
  for (JobQueue& queue : s.job_queues) {
    queue.left = queue.count;
    queues_left += queue.count > 0;
  }
  const auto queues = static_cast<uint32_t>(s.job_queues.size());
  for (; queues_left > 0; s.job_turn = (s.job_turn + 1) % queues) {
    JobQueue& queue = s.job_queues[s.job_turn];
    if (queue.left == 0) continue;
    if (s.budget <= kept || !s.EffectsHaveRoom()) {
      s.jobs_cut = s.jobs_fresh = true;
      return;
    }
    const uint32_t mine = std::min(slice, s.budget - kept);
    const uint32_t rest = s.budget - mine;
    s.budget = mine;
    RunQueue(s, queue);
    s.budget += rest;
    if (queue.left == 0) --queues_left;
  }
}

}  // namespace kvpager
