#include <algorithm>

#include "memmgr/base/units.h"
#include "tests/sim/engine.h"
#include "tests/sim/engine_post.h"

namespace kvpager::sim {

// As libkvpager decides it, only more timid: nothing that changes the sequence may be on its way.
bool Engine::MayRunMessageFree(const ModelStep& step) {
  if (!message_free_) return false;
  for (const ModelStep& other : steps_) {
    if (other.phase == StepPhase::kWaiting) return false;
    if (other.message_free) continue;
    for (const StepEntry& entry : other.entries) {
      const bool shared =
          std::any_of(step.entries.begin(), step.entries.end(),
                      [&entry](const StepEntry& e) { return e.sequence == entry.sequence; });
      if (shared) return false;
    }
  }
  for (const StepEntry& entry : step.entries) {
    const ModelSequence& sequence = *Find(entry.sequence);
    if (sequence.unanswered > 0) return false;
    if (entry.draft || entry.rewrite_from_tokens != ~uint64_t{0}) return false;
    if (entry.append_tokens == 0) continue;
    const uint64_t rows = sequence.tokens.size() % env_.limits.page_tokens;
    if (!sequence.tail_is_ours || sequence.accepted_tokens < sequence.tokens.size()) return false;
    if (rows == 0 || rows + entry.append_tokens > env_.limits.page_tokens) return false;
  }
  return true;
}

bool Engine::AllResident(const ModelStep& step) {
  for (const StepEntry& entry : step.entries) {
    for (const BlockReference& reference : Find(entry.sequence)->blocks) {
      for (uint32_t group = 0; group < env_.limits.num_groups; ++group) {
        const Word& word =
            env_.watch.word(PageIndex{group * env_.limits.blocks_max + reference.block});
        if (word.generation != reference.generation || word.frame_hbm.is_none()) return false;
      }
    }
  }
  return true;
}

bool Engine::TryMessageFree(ModelStep& step) {
  if (!MayRunMessageFree(step)) return false;
  lanes_.begun[step.ticket.lane] = step.ticket.number;
  if (!AllResident(step)) {
    UpdateDone();  // A miss leaves the epoch.
    return false;
  }
  step.message_free = true;
  step.phase = StepPhase::kReady;
  ++env_.tally.steps_ready;
  ++env_.tally.steps_message_free;
  if (env_.random.Chance(env_.options.faults.engine_hangs)) {
    step.hang_until_ns = env_.now_ns + env_.random.Below(3'000'000);
  }
  steps_.push_back(std::move(step));
  ModelStep& begun = steps_.back();
  for (const StepEntry& entry : begun.entries) {
    ModelSequence& sequence = *Find(entry.sequence);
    sequence.lane = begun.ticket.lane;
    sequence.newest_step = begun.ticket.number;
    if (entry.append_tokens > 0) sequence.reused_only = false;
    ++sequence.steps_ready;
    const std::vector<Token> before = sequence.tokens;
    AppendTokens(sequence, entry);
    View(begun, entry, sequence, before);
  }
  return true;
}

// Before everything that depends on the length.
void Engine::Report(ModelSequence& sequence) {
  if (sequence.told_tokens >= sequence.tokens.size()) return;
  AppendedCommand body;
  body.sequence = sequence.id;
  body.length_tokens = sequence.told_tokens;
  body.tokens = static_cast<uint32_t>(sequence.tokens.size() - sequence.told_tokens);
  Post(body, Pending{}, false);
  sequence.told_tokens = sequence.tokens.size();
}

void Engine::UpdateDone() {
  for (uint32_t lane = 0; lane < lane_numbers_.size(); ++lane) {
    const ModelStep* first = FirstUnended(lane);
    lanes_.done[lane] = first == nullptr ? lane_numbers_[lane] : first->ticket.number - 1;
  }
}

}  // namespace kvpager::sim
