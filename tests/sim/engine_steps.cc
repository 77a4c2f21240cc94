#include <algorithm>

#include "absl/strings/str_cat.h"
#include "memmgr/base/units.h"
#include "tests/sim/engine.h"
#include "tests/sim/failure.h"
#include "tests/testing/describe.h"

namespace kvpager::sim {

Engine::Engine(Environment& environment, ClientId client, NamespaceId name_space, bool message_free)
    : env_(environment),
      client_(client),
      name_space_(name_space),
      message_free_(message_free),
      lane_numbers_(environment.options.lanes) {}

void Engine::OnStepAnswer(const Reply& reply, const Effects& effects) {
  auto step = std::find_if(steps_.begin(), steps_.end(),
                           [&reply](const ModelStep& s) { return s.request == reply.request; });
  if (step == steps_.end() || step->phase != StepPhase::kWaiting) {
    Complain(
        absl::StrCat("step request ", reply.request, " is answered twice, or never asked for"));
  }
  if (reply.kind == ReplyKind::kStepReady && reply.ticket != step->ticket) {
    Complain("a step is ready under another ticket");
  }
  if (reply.status == absl::StatusCode::kOk) return OnReady(*step, reply, effects);
  if (reply.status == absl::StatusCode::kDataLoss) {
    ++env_.tally.steps_lost;
    OnCut(reply, effects);
  } else {
    ++env_.tally.steps_refused;
    if (reply.reason.substr(0, 21) == "the step does not fit") NoteRefusal(*step);
  }
  if (reply.status == absl::StatusCode::kInvalidArgument) {
    Complain(absl::StrCat("a good step is refused: ", testing::Describe(reply, effects)));
  }
  Forget(step);
}

void Engine::NoteRefusal(const ModelStep& step) {
  RoomRefusal refusal;
  refusal.name_space = name_space_;
  refusal.split = step.residency == Residency::kSplit;
  for (const StepEntry& entry : step.entries) {
    const ModelSequence* sequence = Find(entry.sequence);
    if (sequence == nullptr) continue;
    const uint64_t fresh = CeilDiv(entry.append_tokens, env_.limits.page_tokens) + 1;
    refusal.blocks_new += fresh;
    refusal.blocks_needed += fresh + sequence->blocks.size();
  }
  env_.room_refusals.push_back(refusal);
}

void Engine::OnReady(ModelStep& step, const Reply& reply, const Effects& effects) {
  for (const ModelStep& older : steps_) {
    if (&older == &step) break;
    if (older.phase == StepPhase::kWaiting) {
      Complain(absl::StrCat("step ", testing::Describe(step.ticket), " is ready before ",
                            testing::Describe(older.ticket)));
    }
  }
  ++env_.tally.steps_ready;
  step.phase = StepPhase::kReady;
  if (env_.random.Chance(env_.options.faults.engine_hangs)) {
    step.hang_until_ns = env_.now_ns + env_.random.Below(3'000'000);
  }
  for (size_t i = 0; i < step.entries.size(); ++i) {
    const StepEntry& entry = step.entries[i];
    ModelSequence* sequence = Find(entry.sequence);
    if (sequence == nullptr) Complain("a step is ready with a sequence that is closed");
    if (sequence->losses != step.losses[i]) {
      Complain("a step is ready although its sequence was cut after it was asked for");
    }
    const std::vector<Token> before = sequence->tokens;
    step.begin_tokens.push_back(before.size());
    AppendTokens(*sequence, entry);
    sequence->told_tokens = sequence->tokens.size();
    // What was asked for after the step may have given it up.
    if (entry.append_tokens > 0) sequence->tail_is_ours = !entry.draft && sequence->unanswered == 0;
    Adopt(reply, effects, *sequence);
    --sequence->steps_waiting;
    ++sequence->steps_ready;
    sequence->draft_steps_waiting -= entry.draft ? 1 : 0;
    View(step, entry, *sequence, before);
  }
}

// A prompt where the sequence still follows one; else tokens that nothing else ever had.
void Engine::AppendTokens(ModelSequence& sequence, const StepEntry& entry) {
  for (uint64_t t = entry.rewrite_from_tokens; t < sequence.tokens.size(); ++t) {
    sequence.tokens[t] = env_.conversations.Fresh();
  }
  const std::vector<Token>& text = env_.conversations.text(name_space_, sequence.conversation);
  for (uint32_t i = 0; i < entry.append_tokens; ++i) {
    const size_t length = sequence.tokens.size();
    const bool follows = !entry.draft && length < text.size() &&
                         std::equal(sequence.tokens.begin(), sequence.tokens.end(), text.begin());
    sequence.tokens.push_back(follows ? text[length] : env_.conversations.Fresh());
    if (!entry.draft && sequence.accepted_tokens == length) ++sequence.accepted_tokens;
  }
}

FramePin Engine::PinPage(ModelStep& step, const ModelSequence& sequence, uint64_t position,
                         uint32_t group, bool written) {
  const BlockReference& reference = sequence.blocks[position];
  const PageIndex page{group * env_.limits.blocks_max + reference.block};
  const Word& word = env_.watch.word(page);
  const auto where = [&] {
    return absl::StrCat("p", page.value, " (block ", position, " of ",
                        testing::Describe(sequence.id), ", group ", group, ") of step ",
                        testing::Describe(step.ticket));
  };
  if (word.generation != reference.generation) Complain(absl::StrCat("old generation: ", where()));
  FramePin pin{Tier::kHbm, word.frame_hbm, {}};
  if (word.frame_hbm.is_none() && step.residency == Residency::kSplit && !written) {
    pin = FramePin{Tier::kHost, word.frame_host, {}};
  }
  if (pin.frame.is_none()) Complain(absl::StrCat("nowhere: ", where()));
  // In both tiers the pin of a SPLIT step may be in either. The library reads from HBM, and
  // discards the step if the word has changed at its end.
  if (step.residency == Residency::kSplit && !written && !word.frame_hbm.is_none() &&
      !word.frame_host.is_none()) {
    pin.unsure = page;
    return pin;
  }
  if (step.message_free) {
    env_.watch.EnterEpoch(pin.frame, page);
    step.epoch_frames.push_back(pin.frame);
  } else {
    env_.watch.Pin(pin.tier, pin.frame);
    step.pins.push_back(pin);
  }
  if (written) {
    env_.watch.WriteBegins(pin.frame);
    step.write_pins.push_back(pin.frame);
  }
  return pin;
}

void Engine::View(ModelStep& step, const StepEntry& entry, const ModelSequence& sequence,
                  const std::vector<Token>& tokens_before) {
  const uint64_t page_tokens = env_.limits.page_tokens;
  const uint64_t before = tokens_before.size();
  const uint64_t write_from = std::min<uint64_t>(before, entry.rewrite_from_tokens);
  const PageRange& range = entry.range;
  for (uint64_t position = 0; position < sequence.blocks.size(); ++position) {
    const uint64_t row_first = position * page_tokens;
    const bool written =
        sequence.tokens.size() > write_from && row_first + page_tokens > write_from;
    const bool block_read =
        position >= range.block_first && position - range.block_first < range.block_count;
    for (uint32_t group = 0; group < env_.limits.num_groups; ++group) {
      const bool read =
          block_read && group >= range.group_first && group - range.group_first < range.group_count;
      if (!read && !written) continue;
      const FramePin pin = PinPage(step, sequence, position, group, written);
      for (uint64_t t = row_first; t < row_first + page_tokens; ++t) {
        const uint32_t row = static_cast<uint32_t>(t - row_first);
        const bool unwritten = rows_unwritten_.count({pin.frame.value, row}) > 0;
        if (t < before) {
          RowRead check{pin.tier, pin.frame, row, RowOf(tokens_before[t], group, name_space_),
                        pin.unsure};
          if (!unwritten || pin.tier != Tier::kHbm) CheckRow(check, "when the step is ready");
          if (t < write_from) step.reads.push_back(check);
        } else if (pin.tier == Tier::kHbm) {
          const Row owner = env_.tiers.hbm_row(pin.frame, row) & kOwnerMask;
          if (owner != 0 && owner != OwnerBits(name_space_)) {
            Complain(absl::StrCat("hbm:", pin.frame.value, " shows another namespace's bytes"));
          }
        }
        if (t >= write_from && t < sequence.tokens.size()) {
          step.writes.push_back({pin.frame, row, RowOf(sequence.tokens[t], group, name_space_)});
        }
      }
    }
  }
  for (const RowWrite& write : step.writes) {
    if (&write - step.writes.data() >= static_cast<int64_t>(step.writes_counted)) {
      ++rows_unwritten_[{write.frame.value, write.row}];
    }
  }
  step.writes_counted = step.writes.size();
}

void Engine::CheckRow(const RowRead& read, const char* when) const {
  ++env_.tally.rows_checked;
  const Row row = read.tier == Tier::kHbm ? env_.tiers.hbm_row(read.frame, read.row)
                                          : env_.tiers.host_row(read.frame, read.row);
  if (row == read.expected) return;
  Complain(absl::StrCat("wrong content in ", testing::TierName(read.tier), ":", read.frame.value,
                        " row ", read.row, " ", when, ": ", absl::Hex(row), " instead of ",
                        absl::Hex(read.expected)));
}

ModelStep* Engine::FirstUnended(uint32_t lane) {
  for (ModelStep& step : steps_) {
    if (step.ticket.lane == lane && step.phase != StepPhase::kEnded) return &step;
  }
  return nullptr;
}

void Engine::Land(ModelStep& step) {
  const RowWrite& write = step.writes[step.writes_landed++];
  env_.tiers.WriteHbmRow(write.frame, write.row, write.value);
  const auto found = rows_unwritten_.find({write.frame.value, write.row});
  if (--found->second == 0) rows_unwritten_.erase(found);
}

void Engine::RunKernels() {
  for (uint32_t lane = 0; lane < env_.options.lanes; ++lane) {
    ModelStep* step = FirstUnended(lane);
    if (step == nullptr || step->phase != StepPhase::kReady) continue;
    while (step->writes_landed < step->writes.size() && env_.random.Chance(500)) Land(*step);
  }
}

void Engine::PassEnd(ModelStep& step) {
  while (step.writes_landed < step.writes.size()) Land(step);
  for (const RowRead& read : step.reads) {
    const bool moved =
        !read.unsure.is_none() && env_.watch.word(read.unsure).frame_hbm != read.frame;
    if (!moved) CheckRow(read, "when the step's end passes");
  }
  step.phase = StepPhase::kEnded;
}

void Engine::ReleasePins(ModelStep& step) {
  for (const FramePin& pin : step.pins) env_.watch.Unpin(pin.tier, pin.frame);
  for (const FrameIndex frame : step.epoch_frames) env_.watch.LeaveEpoch(frame);
  step.epoch_frames.clear();
  for (const FrameIndex frame : step.write_pins) env_.watch.WriteEnds(frame);
  step.pins.clear();
  step.write_pins.clear();
}

// The core has heard, or said, that the step is over.
void Engine::Forget(std::list<ModelStep>::iterator step) {
  ReleasePins(*step);
  for (const StepEntry& entry : step->entries) {
    ModelSequence* sequence = Find(entry.sequence);
    if (sequence == nullptr) continue;
    if (step->phase == StepPhase::kWaiting) {
      --sequence->steps_waiting;
      sequence->draft_steps_waiting -= entry.draft ? 1 : 0;
    } else {
      --sequence->steps_ready;
    }
  }
  steps_.erase(step);
}

bool Engine::has_ready_step() const {
  return std::any_of(steps_.begin(), steps_.end(),
                     [](const ModelStep& s) { return s.phase == StepPhase::kReady; });
}

void Engine::EndAllReady() {
  for (uint32_t lane = 0; lane < env_.options.lanes; ++lane) {
    for (ModelStep* step = FirstUnended(lane); step != nullptr && step->phase == StepPhase::kReady;
         step = FirstUnended(lane)) {
      step->hang_until_ns = 0;
      PostEndOf(*step);
    }
  }
}

}  // namespace kvpager::sim
