#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "tests/sim/engine.h"
#include "tests/sim/failure.h"
#include "tests/testing/describe.h"

namespace kvpager::sim {
namespace {

// Indices of Command::body.
enum Kind : size_t {
  kAttach,
  kGone,
  kRevoke,
  kOpen,
  kExtend,
  kFork,
  kTruncate,
  kName,
  kSuspend,
  kResume,
  kClose,
  kAppended,
  kUsed,
  kBegin,
  kEnd,
  kCancel,
  kPrefetch,
  kEvict,
};
static_assert(
    std::is_same_v<std::variant_alternative_t<kName, decltype(Command::body)>, NameCommand>);
static_assert(
    std::is_same_v<std::variant_alternative_t<kEvict, decltype(Command::body)>, EvictCommand>);

}  // namespace

void Engine::Complain(const std::string& what) const {
  Fail(absl::StrCat("engine c", client_.value, ": ", what));
}

void Engine::OnReply(const Reply& reply, const Effects& effects) {
  if (reply.kind == ReplyKind::kClientReleased) {
    if (alive_ || haunts_) Complain("released although it is not gone");
    if (released_) Complain("released twice");
    released_ = true;
    return;
  }
  if (released_) Complain("an answer after it was released");
  if (reply.kind == ReplyKind::kClientRevoked) {
    if (!haunts_) Complain("revoked although it is alive, or gone");
    return;
  }
  if (!alive_) return;
  if (reply.kind == ReplyKind::kLossNotice) {
    if (reply.request != 0) Complain("a loss notice with a request");
    return OnCut(reply, effects);
  }
  if (reply.kind == ReplyKind::kStepReady) return OnStepAnswer(reply, effects);
  if (reply.request == 0) Complain("an answer nobody asked for");
  const auto found = pending_.find(reply.request);
  if (found == pending_.end()) {
    const bool step = std::any_of(steps_.begin(), steps_.end(), [&reply](const ModelStep& s) {
      return s.request == reply.request && s.phase == StepPhase::kWaiting;
    });
    if (step && reply.status != absl::StatusCode::kOk) return OnStepAnswer(reply, effects);
    Complain(absl::StrCat("request ", reply.request, " is answered twice, or was never made"));
  }
  const Pending pending = std::move(found->second);
  pending_.erase(found);
  if (ModelSequence* sequence = Find(pending.sequence)) --sequence->unanswered;
  OnAnswer(reply, effects, pending);
}

void Engine::OnAnswer(const Reply& reply, const Effects& effects, const Pending& pending) {
  const absl::StatusCode status = reply.status;
  if (pending.nonsense && status == absl::StatusCode::kOk) Complain("nonsense was accepted");
  if (status == absl::StatusCode::kDataLoss) OnCut(reply, effects);
  ModelSequence* sequence = Find(pending.sequence);
  if (status != absl::StatusCode::kOk) {
    ++env_.tally.refusals;
    const bool overtaken = pending.kind == kTruncate && sequence != nullptr &&
                           sequence->tokens.size() < pending.tokens;
    if (status == absl::StatusCode::kInvalidArgument && !pending.nonsense && !overtaken) {
      Complain(absl::StrCat("a good request is refused: ", testing::Describe(reply, effects)));
    }
    const bool carried_newest_ticket =
        pending.kind == kTruncate || pending.kind == kSuspend || pending.kind == kClose;
    if (status == absl::StatusCode::kFailedPrecondition && carried_newest_ticket &&
        !pending.nonsense) {
      Complain(absl::StrCat("a good request is refused: ", testing::Describe(reply, effects)));
    }
    if (sequence == nullptr) return;
    if (pending.kind == kClose) sequence->closing = false;
    if (pending.kind == kSuspend) sequence->suspended = false;
    if (pending.kind == kResume) sequence->suspended = true;
    return;
  }
  switch (pending.kind) {
    case kOpen:
      return OnOpened(reply, effects, pending);
    case kExtend:
      return OnExtended(reply, effects, pending);
    case kFork:
      return OnForked(reply, effects, pending);
    case kTruncate:
      return OnTruncated(reply, effects, pending);
    case kName:
      return OnNamed(pending);
    case kClose:
      if (sequence != nullptr) {
        if (sequence->steps_ready > 0) Complain("closed although a step that it was told of runs");
        sequences_.erase(pending.sequence.value);
      }
      return;
    default:
      return;
  }
}

void Engine::Adopt(const Reply& reply, const Effects& effects, ModelSequence& sequence) {
  for (uint32_t i = 0; i < reply.update_count; ++i) {
    const SequenceUpdate& update = effects.updates[reply.update_first + i];
    if (update.sequence != sequence.id) continue;
    if (update.block_position > sequence.blocks.size()) {
      Complain(absl::StrCat("an update of ", testing::Describe(sequence.id), " leaves a hole"));
    }
    if (update.length_tokens != sequence.tokens.size()) {
      Complain(absl::StrCat(testing::Describe(sequence.id), " has ", sequence.tokens.size(),
                            " tokens, but the update says ", update.length_tokens));
    }
    sequence.blocks.resize(update.block_position);
    for (uint32_t j = 0; j < update.run_count; ++j) {
      const BlockRun& run = effects.runs[update.run_first + j];
      for (uint32_t k = 0; k < run.count; ++k) {
        sequence.blocks.push_back({run.block_first + k, run.generation});
      }
    }
  }
  const uint64_t page_tokens = env_.limits.page_tokens;
  if (sequence.blocks.size() != (sequence.tokens.size() + page_tokens - 1) / page_tokens) {
    Complain(absl::StrCat(testing::Describe(sequence.id), " has ", sequence.tokens.size(),
                          " tokens in ", sequence.blocks.size(), " blocks"));
  }
}

void Engine::CheckReused(const Pending& pending, const ModelSequence& sequence) const {
  const size_t promised = env_.promises.Prefix(pending.keys);
  const size_t found = sequence.tokens.size() / env_.limits.page_tokens;
  if (found < promised && !env_.tiers.may_lose_data()) {
    Complain(absl::StrCat("only ", found, " of ", promised, " durable blocks are found"));
  }
}

void Engine::OnOpened(const Reply& reply, const Effects& effects, const Pending& pending) {
  if (Find(reply.sequence) != nullptr) Complain("a sequence id is given out twice");
  if (reply.sequence.is_none() || reply.sequence.value == 0) Complain("no sequence was opened");
  ModelSequence sequence;
  sequence.id = reply.sequence;
  sequence.conversation = pending.conversation;
  if (reply.tokens > pending.keys.size() * env_.limits.page_tokens ||
      reply.tokens % env_.limits.page_tokens != 0) {
    Complain(absl::StrCat("open reuses ", reply.tokens, " tokens"));
  }
  const uint32_t hits = reply.hit_blocks[0] + reply.hit_blocks[1] + reply.hit_blocks[2];
  if (uint64_t{hits} * env_.limits.page_tokens != reply.tokens) Complain("hits do not add up");
  sequence.tokens.assign(pending.prompt.begin(),
                         pending.prompt.begin() + static_cast<int64_t>(reply.tokens));
  sequence.accepted_tokens = reply.tokens;
  sequence.named_blocks = hits;
  sequence.reused_only = true;
  sequence.told_tokens = reply.tokens;
  env_.tally.tokens_reused += reply.tokens;
  Adopt(reply, effects, sequence);
  CheckReused(pending, sequence);
  sequences_.emplace(sequence.id.value, std::move(sequence));
}

void Engine::OnExtended(const Reply& reply, const Effects& effects, const Pending& pending) {
  ModelSequence* sequence = Find(pending.sequence);
  if (sequence == nullptr) Complain("extend of a sequence that is closed");
  uint64_t length = sequence->tokens.size();
  for (uint32_t i = 0; i < reply.update_count; ++i) {
    length = effects.updates[reply.update_first + i].length_tokens;
  }
  if (length < sequence->tokens.size() || length % env_.limits.page_tokens != 0 ||
      length > pending.keys.size() * env_.limits.page_tokens) {
    Complain(absl::StrCat("extend leaves ", length, " tokens"));
  }
  env_.tally.tokens_reused += length - sequence->tokens.size();
  sequence->tokens.assign(pending.prompt.begin(),
                          pending.prompt.begin() + static_cast<int64_t>(length));
  sequence->accepted_tokens = length;
  sequence->named_blocks = length / env_.limits.page_tokens;
  sequence->told_tokens = length;
  Adopt(reply, effects, *sequence);
  CheckReused(pending, *sequence);
}

void Engine::OnForked(const Reply& reply, const Effects& effects, const Pending& pending) {
  const ModelSequence* parent = Find(pending.sequence);
  if (parent == nullptr) Complain("a sequence was forked after it was closed");
  if (Find(reply.sequence) != nullptr) Complain("a sequence id is given out twice");
  ModelSequence child = *parent;
  child.id = reply.sequence;
  child.blocks.clear();
  child.newest_step = 0;
  child.steps_waiting = child.steps_ready = child.unanswered = child.draft_steps_waiting = 0;
  child.losses = 0;
  child.suspended = child.closing = child.reused_only = child.tail_is_ours = false;
  Adopt(reply, effects, child);
  sequences_.emplace(child.id.value, std::move(child));
}

void Engine::OnTruncated(const Reply& reply, const Effects& effects, const Pending& pending) {
  ModelSequence* sequence = Find(pending.sequence);
  if (sequence == nullptr) Complain("a sequence was truncated after it was closed");
  const uint64_t left = std::min<uint64_t>(pending.tokens, sequence->tokens.size());
  if (reply.tokens != left) {
    Complain(absl::StrCat("truncate leaves ", reply.tokens, " tokens instead of ", left));
  }
  const uint64_t page_tokens = env_.limits.page_tokens;
  sequence->tokens.resize(left);
  sequence->told_tokens = left;
  sequence->tail_is_ours = false;
  sequence->accepted_tokens =
      pending.accept ? left : std::min<uint64_t>(sequence->accepted_tokens, left);
  sequence->named_blocks = std::min<uint64_t>(sequence->named_blocks, left / page_tokens);
  if (reply.update_count == 0) sequence->blocks.resize((left + page_tokens - 1) / page_tokens);
  Adopt(reply, effects, *sequence);
}

void Engine::OnNamed(const Pending& pending) {
  if (ModelSequence* sequence = Find(pending.sequence)) {
    if (pending.block_first <= sequence->named_blocks) {
      sequence->named_blocks = std::max<uint64_t>(sequence->named_blocks, pending.keys.size());
    }
  }
  if (!pending.durable) return;
  env_.promises.Add({name_space_, pending.keys, pending.prompt});
  ++env_.tally.durable_names;
}

// Every sequence that the reply mentions was cut to what is still good.
void Engine::OnCut(const Reply& reply, const Effects& effects) {
  if (!env_.tiers.may_miss_cached()) Complain("data is lost although nothing was ever damaged");
  for (uint32_t i = 0; i < reply.update_count; ++i) {
    const SequenceUpdate& update = effects.updates[reply.update_first + i];
    ModelSequence* sequence = Find(update.sequence);
    if (sequence == nullptr) continue;
    if (update.length_tokens > sequence->tokens.size()) Complain("a loss makes a sequence longer");
    if (update.length_tokens == sequence->tokens.size()) continue;  // It was told before.
    ++env_.tally.losses;
    ++sequence->losses;
    sequence->tokens.resize(update.length_tokens);
    sequence->told_tokens = std::min(sequence->told_tokens, update.length_tokens);
    sequence->tail_is_ours = false;
    sequence->accepted_tokens = std::min(sequence->accepted_tokens, update.length_tokens);
    sequence->named_blocks =
        std::min<uint64_t>(sequence->named_blocks, update.length_tokens / env_.limits.page_tokens);
    Adopt(reply, effects, *sequence);
  }
}

void Engine::Die() {
  alive_ = false;
  while (!steps_.empty()) {
    ReleasePins(steps_.front());
    steps_.pop_front();
  }
  pending_.clear();
  outbox_.clear();
  sequences_.clear();
  ++env_.tally.engines_died;
}

std::string Engine::Describe() const {
  std::string text = absl::StrCat("engine c", client_.value, alive_ ? "" : " (dead)", "\n");
  for (const auto& [id, sequence] : sequences_) {
    absl::StrAppend(&text, "  ", testing::Describe(sequence.id), " tokens=", sequence.tokens.size(),
                    " accepted=", sequence.accepted_tokens, " blocks=", sequence.blocks.size(),
                    " waiting=", sequence.steps_waiting, " ready=", sequence.steps_ready,
                    " unanswered=", sequence.unanswered, sequence.suspended ? " suspended" : "",
                    sequence.closing ? " closing" : "", "\n");
  }
  for (const ModelStep& step : steps_) {
    absl::StrAppend(&text, "  step ", testing::Describe(step.ticket), " #", step.request, " ",
                    step.phase == StepPhase::kWaiting ? "waiting"
                    : step.phase == StepPhase::kReady ? "ready"
                                                      : "ended",
                    step.residency == Residency::kSplit ? " split" : "", ":");
    for (const StepEntry& entry : step.entries) {
      absl::StrAppend(&text, " ", testing::Describe(entry.sequence), "+", entry.append_tokens);
    }
    absl::StrAppend(&text, "\n");
  }
  for (const auto& [request, pending] : pending_) {
    absl::StrAppend(&text, "  unanswered #", request, " kind ", pending.kind, " ",
                    testing::Describe(pending.sequence), "\n");
  }
  return text;
}

}  // namespace kvpager::sim
