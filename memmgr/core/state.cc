#include "memmgr/core/state.h"

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "memmgr/base/check.h"

namespace kvpager {

CoreState::CoreState(const Limits& core_limits)
    : limits(core_limits),
      blocks(core_limits),
      index(core_limits.blocks_max),
      sequences(core_limits),
      steps(core_limits),
      operations(core_limits),
      credits(core_limits),
      guards(std::clamp(core_limits.frames_max[TierIndex(Tier::kHost)] / 4, 1u, kGuardsMax)),
      clients(core_limits.clients_max),
      lane_users(core_limits.clients_max),
      namespace_pages(core_limits.namespaces_max, 0),
      deferred(core_limits.deferred_max + core_limits.sequences_max),
      deferred_keys(core_limits.deferred_max),
      // Every client can be leaving, every step ending, every sequence closing, cut and changed.
      jobs(core_limits.clients_max + core_limits.steps_max + 3 * core_limits.sequences_max +
           core_limits.deferred_max),
      job_queues(core_limits.clients_max + 1),
      prefetches(core_limits.prefetches_max),
      evictions(core_limits.evictions_max),
      durable_names(core_limits.durable_names_max),
      split_pages(core_limits.split_steps_max, std::vector<bool>(core_limits.pages_max(), false)),
      split_in_use(core_limits.split_steps_max, false) {
  deferred_keys_free.reserve(deferred_keys.size());
  for (size_t slot = deferred_keys.size(); slot > 0; --slot) {
    deferred_keys_free.push_back(static_cast<uint32_t>(slot - 1));
  }
  for (size_t slot = jobs.size(); slot > 0; --slot) {
    jobs[slot - 1].next = job_free;
    job_free = static_cast<uint32_t>(slot - 1);
  }
  for (size_t slot = deferred.size(); slot > 0; --slot) {
    deferred[slot - 1].next = deferred_free;
    deferred_free = static_cast<uint32_t>(slot - 1);
  }
}

bool CoreState::TicketPassed(ClientId id, Ticket ticket) const {
  if (!id.is_none() && lane_users[id.value].message_free &&
      lane_users[id.value].lanes.done[ticket.lane] < ticket.number) {
    return false;
  }
  return PinnedStepsPassed(id, ticket);
}

bool CoreState::PinnedStepsPassed(ClientId id, Ticket ticket) const {
  if (id.is_none() || clients[id.value].steps == 0) return true;
  for (uint32_t slot = 0; slot < steps.slots(); ++slot) {
    const Step& step = steps.step(slot);
    if (step.phase == StepPhase::kFree || step.phase == StepPhase::kEnding) continue;
    if (step.client == id && step.ticket.lane == ticket.lane &&
        step.ticket.number <= ticket.number) {
      return false;
    }
  }
  return true;
}

void CoreState::PushJob(const Job& job) {
  const uint32_t slot = job_free;
  KVP_CHECK(slot != kNoSlot);
  job_free = jobs[slot].next;
  jobs[slot] = job;
  jobs[slot].next = kNoSlot;
  JobQueue& queue = job_queues[job.client.is_none() ? job_queues.size() - 1 : job.client.value];
  (queue.last == kNoSlot ? queue.first : jobs[queue.last].next) = slot;
  queue.last = slot;
  ++queue.count;
  ++job_count;
  jobs_fresh = true;
}

bool CoreState::EffectsHaveRoom() const {
  // One more reply with the updates of a whole step must fit.
  return effects->replies.size() + 8 < effects->replies.capacity() &&
         effects->updates.size() + limits.step_entries_per_step_max < effects->updates.capacity() &&
         effects->runs.size() + limits.pages_per_input < effects->runs.capacity() &&
         effects->page_table_writes.size() + limits.pages_per_input <
             effects->page_table_writes.capacity();
}

Reply& CoreState::Answer(ClientId to, uint64_t request, absl::StatusCode status,
                         std::string_view reason) {
  if (status == absl::StatusCode::kResourceExhausted) ++metrics.exhausted;
  Reply reply{.client = to, .request = request, .status = status, .reason = reason};
  reply.update_first = static_cast<uint32_t>(effects->updates.size());
  if (request == 0) {
    unsent_ = reply;
    return unsent_;
  }
  effects->replies.push_back(reply);
  return effects->replies.back();
}

Reply& CoreState::Notify(ClientId to, ReplyKind kind) {
  Reply reply{.client = to, .kind = kind};
  reply.update_first = static_cast<uint32_t>(effects->updates.size());
  effects->replies.push_back(reply);
  return effects->replies.back();
}

void CoreState::AttachUpdate(Reply& reply, SequenceId id, uint64_t length_tokens,
                             uint32_t block_position) {
  if (&reply == &unsent_) return;
  const Sequence* sequence = sequences.Find(id);
  KVP_CHECK(sequence != nullptr);
  SequenceUpdate update{.sequence = id,
                        .length_tokens = length_tokens,
                        .block_position = block_position,
                        .run_first = static_cast<uint32_t>(effects->runs.size())};
  SequenceTable::Walk walk(sequences, *sequence, block_position);
  for (; walk.valid(); walk.Next()) {
    const uint32_t row = walk.block().value;
    const uint32_t generation = blocks.block(walk.block()).generation;
    if (update.run_count > 0) {
      BlockRun& last = effects->runs.back();
      if (last.block_first + last.count == row && last.generation == generation) {
        ++last.count;
        continue;
      }
    }
    effects->runs.push_back({row, 1, generation});
    ++update.run_count;
  }
  effects->updates.push_back(update);
  ++reply.update_count;
}

}  // namespace kvpager
