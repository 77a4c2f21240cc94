#include "tests/sim/engine_post.h"

#include <algorithm>

namespace kvpager::sim {

bool Engine::WantsAnswer() const { return !env_.random.Chance(env_.options.posted_permille); }

ModelSequence* Engine::Find(SequenceId id) {
  const auto found = sequences_.find(id.value);
  return found == sequences_.end() ? nullptr : &found->second;
}

ModelSequence* Engine::PickSequence() {
  if (sequences_.empty()) return nullptr;
  auto it = sequences_.begin();
  std::advance(it, static_cast<int64_t>(env_.random.Below(sequences_.size())));
  return it->second.closing ? nullptr : &it->second;
}

// What a command that lets go must carry: everything the sequence was in so far.
Ticket Engine::NewestTicket(const ModelSequence& sequence) const {
  if (sequence.newest_step == 0) return Ticket{};
  return Ticket{sequence.lane, sequence.newest_step};
}

void Engine::Act() {
  uint64_t sum = 0;
  for (uint32_t weight : env_.options.weights) sum += weight;
  uint64_t at = env_.random.Below(sum);
  for (size_t i = 0; i < kActionCount; ++i) {
    if (at < env_.options.weights[i]) {
      Do(static_cast<Action>(i));
      return;
    }
    at -= env_.options.weights[i];
  }
}

bool Engine::Do(Action action) {
  switch (action) {
    case Action::kOpen:
      return PostOpen();
    case Action::kExtend:
      return PostExtend();
    case Action::kBegin:
      return PostBegin();
    case Action::kEnd:
      return PostEnd();
    case Action::kCancel:
      return PostCancel();
    case Action::kFork:
      return PostFork();
    case Action::kTruncate:
      return PostTruncate();
    case Action::kAccept:
      return PostAccept();
    case Action::kName:
      return PostName();
    case Action::kSuspend:
      return PostSuspend();
    case Action::kResume:
      return PostResume();
    case Action::kPrefetch:
      return PostPrefetch();
    case Action::kEvict:
      return PostEvict();
    case Action::kClose: {
      ModelSequence* sequence = PickSequence();
      return sequence != nullptr && PostClose(*sequence);
    }
    case Action::kNonsense:
      return PostNonsense();
  }
  return false;
}

bool Engine::PostOpen() {
  if (sequences_.size() >= env_.options.sequences_per_engine) return false;
  Pending pending;
  pending.conversation = static_cast<uint32_t>(env_.random.Below(env_.options.conversations));
  pending.prompt = env_.conversations.text(name_space_, pending.conversation);
  pending.keys = KeysOf(pending.prompt, env_.limits.page_tokens, name_space_);
  if (env_.random.Chance(200)) pending.keys.resize(env_.random.Below(pending.keys.size() + 1));
  OpenCommand body{pending.keys};
  Post(body, pending, true);
  return true;
}

bool Engine::PostExtend() {
  ModelSequence* sequence = PickSequence();
  if (sequence == nullptr || !sequence->reused_only || sequence->unanswered > 0) return false;
  if (sequence->suspended) return false;
  Pending pending;
  pending.sequence = sequence->id;
  pending.conversation = sequence->conversation;
  pending.prompt = env_.conversations.text(name_space_, sequence->conversation);
  const uint64_t have = sequence->tokens.size();
  if (pending.prompt.size() < have ||
      !std::equal(sequence->tokens.begin(), sequence->tokens.end(), pending.prompt.begin())) {
    return false;
  }
  pending.keys = KeysOf(pending.prompt, env_.limits.page_tokens, name_space_);
  const uint64_t blocks = have / env_.limits.page_tokens;
  if (pending.keys.size() <= blocks) return false;
  ExtendCommand body;
  body.sequence = sequence->id;
  body.keys = absl::MakeConstSpan(pending.keys).subspan(blocks);
  Post(body, pending, true);
  return true;
}

// A part of the sequence, tokens to append, both as the dice say. False: nothing to do for it.
bool Engine::FillEntry(ModelSequence& sequence, StepEntry& entry) {
  testing::Random& random = env_.random;
  entry.sequence = sequence.id;
  const uint64_t length = sequence.tokens.size();
  const uint64_t room = env_.options.tokens_per_sequence_max > length
                            ? env_.options.tokens_per_sequence_max - length
                            : 0;
  const bool drafting = sequence.accepted_tokens < length;
  const bool prefill = random.Chance(300);
  uint64_t append = random.Between(1, prefill ? 3 * env_.limits.page_tokens : 3);
  append = random.Chance(150) ? 0 : std::min(append, room);
  if (sequence.unanswered > 0 && drafting) return false;
  entry.draft = append > 0 && (drafting || random.Chance(env_.options.draft_permille));
  // An unanswered truncation or step may change what is a draft.
  if (entry.draft && !drafting && (sequence.unanswered > 0 || sequence.steps_waiting > 0)) {
    entry.draft = false;
  }
  if (!entry.draft && append > 0 && sequence.draft_steps_waiting > 0) return false;
  entry.append_tokens = static_cast<uint32_t>(append);
  if (drafting && sequence.steps_waiting == 0 && sequence.unanswered == 0 && random.Chance(200)) {
    entry.append_tokens = 0;
    entry.draft = false;
    entry.rewrite_from_tokens = random.Between(sequence.accepted_tokens, length - 1);
  } else if (random.Chance(env_.options.partial_range_permille)) {
    if (env_.limits.num_groups > 1 && random.Chance(700)) {
      entry.range.group_first = static_cast<uint32_t>(random.Below(env_.limits.num_groups));
      entry.range.group_count = 1;
    }
    if (random.Chance(500)) {
      entry.range.block_first =
          static_cast<uint32_t>(random.Below(length / env_.limits.page_tokens + 1));
      entry.range.block_count = static_cast<uint32_t>(random.Between(1, 3));
    }
  }
  return length > 0 || entry.append_tokens > 0;
}

bool Engine::PostBegin() {
  testing::Random& random = env_.random;
  if (steps_.size() >= 6) return false;
  const uint32_t lane = static_cast<uint32_t>(random.Below(env_.options.lanes));
  ModelStep step;
  const uint64_t wanted = random.Between(1, 3);
  for (uint64_t i = 0; i < wanted; ++i) {
    ModelSequence* sequence = PickSequence();
    if (sequence == nullptr || sequence->suspended) continue;
    if (sequence->steps_waiting + sequence->steps_ready > 0 && sequence->lane != lane) continue;
    const bool twice = std::any_of(step.entries.begin(), step.entries.end(),
                                   [&](const auto& e) { return e.sequence == sequence->id; });
    StepEntry entry;
    if (twice || !FillEntry(*sequence, entry)) continue;
    step.entries.push_back(entry);
    step.losses.push_back(0);
  }
  if (step.entries.empty()) return false;
  step.ticket = Ticket{lane, ++lane_numbers_[lane]};
  if (TryMessageFree(step)) return true;
  if (lanes_.begun[lane] == step.ticket.number) step.ticket.number = ++lane_numbers_[lane];
  for (const StepEntry& entry : step.entries) Report(*Find(entry.sequence));
  if (random.Chance(env_.options.split_permille)) step.residency = Residency::kSplit;
  for (const StepEntry& entry : step.entries) {
    ModelSequence& sequence = *Find(entry.sequence);
    sequence.lane = lane;
    sequence.newest_step = step.ticket.number;
    ++sequence.steps_waiting;
    sequence.draft_steps_waiting += entry.draft ? 1 : 0;
    if (entry.append_tokens > 0) sequence.reused_only = false;
  }
  step.asked_ns = env_.now_ns;
  StepBeginCommand body;
  body.ticket = step.ticket;
  body.residency = step.residency;
  body.entries = step.entries;
  step.request = Post(body, Pending{}, true);
  steps_.push_back(std::move(step));
  return true;
}

bool Engine::PostEnd() {
  const uint32_t lane = static_cast<uint32_t>(env_.random.Below(env_.options.lanes));
  ModelStep* step = FirstUnended(lane);
  if (step == nullptr || step->phase != StepPhase::kReady) return false;
  if (step->hang_until_ns > env_.now_ns) return false;
  PostEndOf(*step);
  return true;
}

void Engine::PostEndOf(ModelStep& step) {
  PassEnd(step);
  UpdateDone();
  if (step.message_free) {
    ReportWritten(step);
    Forget(std::find_if(steps_.begin(), steps_.end(),
                        [&step](const ModelStep& other) { return &other == &step; }));
    return;
  }
  Pending pending;
  pending.ticket = step.ticket;
  Post(StepEndCommand{step.ticket}, pending, env_.random.Chance(200));
}

bool Engine::PostCancel() {
  for (ModelStep& step : steps_) {
    if (step.phase != StepPhase::kWaiting || env_.random.Chance(500)) continue;
    Pending pending;
    pending.ticket = step.ticket;
    Post(StepCancelCommand{step.ticket}, pending, true);
    return true;
  }
  return false;
}

bool Engine::PostFork() {
  if (sequences_.size() >= env_.options.sequences_per_engine) return false;
  ModelSequence* sequence = PickSequence();
  if (sequence == nullptr) return false;
  Report(*sequence);
  sequence->tail_is_ours = false;  // Two have it now.
  Pending pending;
  pending.sequence = sequence->id;
  Post(ForkCommand{sequence->id, NewestTicket(*sequence)}, pending, true);
  return true;
}

bool Engine::PostTruncate() {
  ModelSequence* sequence = PickSequence();
  if (sequence == nullptr || sequence->tokens.empty() || sequence->suspended) return false;
  TruncateCommand body;
  body.sequence = sequence->id;
  const uint64_t length = sequence->tokens.size();
  const uint64_t back = env_.random.Chance(700) ? env_.limits.page_tokens : length;
  Report(*sequence);
  sequence->tail_is_ours = false;
  body.tokens = length - env_.random.Below(std::min(back, length) + 1);
  body.ticket = NewestTicket(*sequence);
  Pending pending;
  pending.sequence = sequence->id;
  pending.tokens = body.tokens;
  Post(body, pending, true);
  return true;
}

bool Engine::PostAccept() {
  ModelSequence* sequence = PickSequence();
  if (sequence == nullptr || sequence->accepted_tokens >= sequence->tokens.size()) return false;
  if (sequence->steps_waiting > 0 || sequence->unanswered > 0) return false;
  Report(*sequence);
  TruncateCommand body;
  body.sequence = sequence->id;
  body.tokens = env_.random.Between(sequence->accepted_tokens, sequence->tokens.size());
  body.accept = true;
  body.ticket = NewestTicket(*sequence);
  Pending pending;
  pending.sequence = sequence->id;
  pending.tokens = body.tokens;
  pending.accept = true;
  Post(body, pending, true);
  return true;
}

// Only when nothing is on its way that may change the tokens: the keys are made from them.
bool Engine::PostName() {
  ModelSequence* sequence = PickSequence();
  if (sequence == nullptr || sequence->steps_waiting > 0 || sequence->unanswered > 0) return false;
  const uint64_t blocks = sequence->accepted_tokens / env_.limits.page_tokens;
  uint64_t first = std::min(sequence->named_blocks, blocks);
  const bool durable = env_.random.Chance(env_.options.durable_permille);
  if (env_.random.Chance(durable ? 500 : 100)) first = 0;
  if (first >= blocks) return false;
  Report(*sequence);
  Pending pending;
  pending.sequence = sequence->id;
  pending.prompt = sequence->tokens;
  pending.keys = KeysOf(sequence->tokens, env_.limits.page_tokens, name_space_);
  const uint64_t end = env_.random.Chance(700) ? blocks : env_.random.Between(first + 1, blocks);
  pending.keys.resize(end);
  pending.block_first = static_cast<uint32_t>(first);
  pending.durable = durable;
  NameCommand body;
  body.sequence = sequence->id;
  body.block_first = pending.block_first;
  body.keys = absl::MakeConstSpan(pending.keys).subspan(first);
  body.durable = durable;
  body.ticket = NewestTicket(*sequence);
  Post(body, pending, durable || WantsAnswer());
  return true;
}

bool Engine::PostSuspend() {
  ModelSequence* sequence = PickSequence();
  if (sequence == nullptr || sequence->suspended || sequence->steps_waiting > 0) return false;
  Report(*sequence);
  sequence->tail_is_ours = false;
  sequence->suspended = true;
  Pending pending;
  pending.sequence = sequence->id;
  Post(SuspendCommand{sequence->id, NewestTicket(*sequence)}, pending, true);
  return true;
}

bool Engine::PostResume() {
  for (auto& [id, sequence] : sequences_) {
    if (!sequence.suspended || sequence.closing || sequence.unanswered > 0) continue;
    if (env_.random.Chance(300)) continue;
    sequence.suspended = false;
    Pending pending;
    pending.sequence = sequence.id;
    Post(ResumeCommand{sequence.id}, pending, true);
    return true;
  }
  return false;
}

bool Engine::PostPrefetch() {
  PrefetchCommand body;
  Pending pending;
  body.tier = env_.random.Chance(600) ? Tier::kHbm : Tier::kHost;
  body.deadline.ns = env_.now_ns + env_.random.Between(1'000, 2'000'000);
  body.priority = static_cast<uint32_t>(env_.random.Below(3));
  if (env_.random.Chance(400)) {
    const auto index = static_cast<uint32_t>(env_.random.Below(env_.options.conversations));
    pending.keys =
        KeysOf(env_.conversations.text(name_space_, index), env_.limits.page_tokens, name_space_);
    if (pending.keys.empty()) return false;
    body.keys = pending.keys;
  } else {
    ModelSequence* sequence = PickSequence();
    if (sequence == nullptr) return false;
    body.sequence = sequence->id;
  }
  Post(body, pending, WantsAnswer());
  return true;
}

bool Engine::PostEvict() {
  ModelSequence* sequence = PickSequence();
  if (sequence == nullptr) return false;
  Pending pending;
  const bool host = env_.options.setup.options.blocks_nvme == 0 || env_.random.Chance(500);
  Post(EvictCommand{sequence->id, host ? Tier::kHost : Tier::kNvme}, pending, WantsAnswer());
  return true;
}

// Unanswered only when nothing else is on its way: then nobody will mention the sequence again.
bool Engine::PostClose(ModelSequence& sequence) {
  const SequenceId id = sequence.id;
  if (env_.random.Chance(400) && sequence.steps_waiting == 0 &&
      sequence.accepted_tokens == sequence.tokens.size()) {
    env_.conversations.Replace(name_space_, sequence.conversation, sequence.tokens);
  }
  const bool busy = sequence.steps_waiting + sequence.steps_ready + sequence.unanswered > 0;
  const bool wants_answer = busy || WantsAnswer();
  const CloseCommand body{id, NewestTicket(sequence)};
  Pending pending;
  pending.sequence = id;
  if (wants_answer) {
    sequence.closing = true;
  } else {
    sequences_.erase(id.value);
  }
  Post(body, pending, wants_answer);
  return true;
}

}  // namespace kvpager::sim
