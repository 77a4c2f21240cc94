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
    if (!sequence.tail_is_ours || sequence.accepted_tokens < sequence.tokens.size()) return false;
    if (!FitsWithCredit(sequence, entry.append_tokens)) return false;
  }
  return true;
}

bool Engine::FitsWithCredit(const ModelSequence& sequence, uint32_t append_tokens) const {
  const uint64_t page_tokens = env_.limits.page_tokens;
  const uint64_t capacity = sequence.blocks.size() * page_tokens;
  const uint64_t end = sequence.tokens.size() + append_tokens;
  if (end <= capacity) return true;
  const auto credit = credits_.find(sequence.id.value);
  return credit != credits_.end() && !credit->second.taken && end <= capacity + page_tokens;
}

// All of those that the step needs, or none: as if another page had turned out to be missing.
bool Engine::TakeCredits(const ModelStep& step) {
  std::vector<ModelSequence*> taken;
  for (const StepEntry& entry : step.entries) {
    ModelSequence& sequence = *Find(entry.sequence);
    const uint64_t end = sequence.tokens.size() + entry.append_tokens;
    if (end <= sequence.blocks.size() * env_.limits.page_tokens) continue;
    ModelCredit& credit = credits_.at(sequence.id.value);
    credit.taken = true;
    sequence.blocks.push_back(credit.block);
    taken.push_back(&sequence);
  }
  if (taken.empty() || !env_.random.Chance(100)) {
    env_.tally.credits_used += taken.size();
    return true;
  }
  for (ModelSequence* sequence : taken) {
    credits_.at(sequence->id.value).taken = false;
    sequence->blocks.pop_back();
  }
  return false;
}

void Engine::GrantCredit(const CreditWrite& write) {
  if (credits_.count(write.sequence.value) > 0) Complain("a second credit is granted");
  credits_[write.sequence.value] = {{write.block.value, write.generation}, false};
}

bool Engine::RevokeCredit(const CreditWrite& write) {
  const auto credit = credits_.find(write.sequence.value);
  if (credit == credits_.end()) Complain("a credit is revoked that was never granted");
  if (credit->second.taken) return true;
  credits_.erase(credit);
  return false;
}

void Engine::ClearCredit(const CreditWrite& write) { credits_.erase(write.sequence.value); }

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
  if (!AllResident(step) || !TakeCredits(step)) {
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
    begun.begin_tokens.push_back(before.size());
    AppendTokens(sequence, entry);
    View(begun, entry, sequence, before);
  }
  return true;
}

// Those before the first that a running step writes.
uint64_t Engine::WrittenTokens(const ModelSequence& sequence) const {
  uint64_t written = sequence.tokens.size();
  for (const ModelStep& step : steps_) {
    if (step.phase != StepPhase::kReady) continue;
    for (size_t i = 0; i < step.entries.size(); ++i) {
      if (step.entries[i].sequence != sequence.id) continue;
      written = std::min({written, step.begin_tokens[i], step.entries[i].rewrite_from_tokens});
    }
  }
  return written;
}

// What it has filled may be sealed.
void Engine::ReportWritten(const ModelStep& ended) {
  const uint64_t page_tokens = env_.limits.page_tokens;
  for (size_t i = 0; i < ended.entries.size(); ++i) {
    ModelSequence* sequence = Find(ended.entries[i].sequence);
    if (sequence == nullptr || ended.entries[i].append_tokens == 0) continue;
    const uint64_t end = ended.begin_tokens[i] + ended.entries[i].append_tokens;
    if (end / page_tokens == ended.begin_tokens[i] / page_tokens) continue;
    if (sequence->tokens.size() < end || sequence->unanswered > 0) continue;
    AppendedCommand body;
    body.sequence = sequence->id;
    body.length_tokens = sequence->told_tokens;
    body.tokens = static_cast<uint32_t>(sequence->tokens.size() - sequence->told_tokens);
    body.written_tokens = WrittenTokens(*sequence);
    Post(body, Pending{}, false);
    sequence->told_tokens = sequence->tokens.size();
  }
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
