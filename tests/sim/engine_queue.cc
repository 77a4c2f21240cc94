#include <variant>

#include "tests/sim/engine_post.h"

namespace kvpager::sim {
namespace {

constexpr SequenceId kUnknownSequence{uint64_t{12345} << 32 | 3};

}  // namespace

bool Engine::has_due() const { return !outbox_.empty() && outbox_.front().due_ns <= env_.now_ns; }

Outgoing Engine::TakeDue() {
  Outgoing outgoing = std::move(outbox_.front());
  outbox_.pop_front();
  // Spans into the outgoing command's own lists.
  std::visit(
      [&outgoing](auto& body) {
        if constexpr (requires { body.keys; }) body.keys = outgoing.keys;
        if constexpr (requires { body.entries; }) body.entries = outgoing.entries;
      },
      outgoing.command.body);
  if (const auto* begin = std::get_if<StepBeginCommand>(&outgoing.command.body)) {
    NoteLosses(begin->ticket);
  }
  if (const auto* end = std::get_if<StepEndCommand>(&outgoing.command.body)) {
    for (auto step = steps_.begin(); step != steps_.end(); ++step) {
      if (step->ticket != end->ticket || step->phase != StepPhase::kEnded) continue;
      Forget(step);
      break;
    }
  }
  return outgoing;
}

// A cut that the core told of before it heard of the step does not concern the step.
void Engine::NoteLosses(Ticket ticket) {
  for (ModelStep& step : steps_) {
    if (step.ticket != ticket) continue;
    for (size_t i = 0; i < step.entries.size(); ++i) {
      const ModelSequence* sequence = Find(step.entries[i].sequence);
      if (sequence != nullptr) step.losses[i] = sequence->losses;
    }
  }
}

bool Engine::PostNonsense() {
  Pending pending;
  pending.nonsense = true;
  ModelSequence* sequence = PickSequence();
  const SequenceId known = sequence == nullptr ? kUnknownSequence : sequence->id;
  const bool usable = sequence != nullptr;
  switch (env_.random.Below(7)) {
    case 0:
      Post(CloseCommand{kUnknownSequence, Ticket{}}, pending, true);
      return true;
    case 1: {
      TruncateCommand body;
      body.sequence = known;
      body.tokens = 1'000'000;
      if (usable) body.ticket = NewestTicket(*sequence);
      Post(body, pending, true);
      return true;
    }
    case 2: {
      pending.keys = {BlockKey{{7, 7}}};
      NameCommand body;
      body.sequence = known;
      body.block_first = 5'000;
      body.keys = pending.keys;
      if (usable) body.ticket = NewestTicket(*sequence);
      Post(body, pending, true);
      return true;
    }
    case 3:
      Post(StepCancelCommand{Ticket{0, 1'000'000}}, pending, true);
      return true;
    case 4:
      Post(EvictCommand{known, Tier::kHbm}, pending, true);
      return true;
    case 5:
      Post(ResumeCommand{kUnknownSequence}, pending, true);
      return true;
    default:
      Post(StepEndCommand{Ticket{0, 1'000'000}}, pending, true);
      return true;
  }
}

bool Engine::CloseAll() {
  std::vector<uint64_t> idle;
  for (const auto& [id, sequence] : sequences_) {
    const uint32_t busy = sequence.steps_waiting + sequence.steps_ready + sequence.unanswered;
    if (!sequence.closing && busy == 0) idle.push_back(id);
  }
  for (uint64_t id : idle) PostClose(sequences_.at(id));
  return !idle.empty();
}

void Engine::OpenText(const std::vector<Token>& text) {
  Pending pending;
  pending.prompt = text;
  pending.keys = KeysOf(text, env_.limits.page_tokens, name_space_);
  Post(OpenCommand{pending.keys}, pending, true);
}

void Engine::StepOverAll(uint32_t append_tokens) {
  ModelSequence& sequence = sequences_.begin()->second;
  ModelStep step;
  StepEntry entry;
  entry.sequence = sequence.id;
  entry.append_tokens = append_tokens;
  step.entries.push_back(entry);
  step.losses.push_back(0);
  step.ticket = Ticket{0, ++lane_numbers_[0]};
  sequence.lane = 0;
  sequence.newest_step = step.ticket.number;
  ++sequence.steps_waiting;
  step.asked_ns = env_.now_ns;
  StepBeginCommand body;
  body.ticket = step.ticket;
  body.entries = step.entries;
  step.request = Post(body, Pending{}, true);
  steps_.push_back(std::move(step));
}

}  // namespace kvpager::sim
