#include "tests/sim/epoch_model.h"

#include <algorithm>

#include "tests/sim/epoch_moves.h"

namespace kvpager::epoch {

void AppendText(std::string& text, std::string_view words) { text.append(words); }

void AppendText(std::string& text, uint32_t number) { absl::StrAppend(&text, number); }

void AppendText(std::string& text, PageNames names) {
  text.append(CountOf(names.pages) == 1 ? "page" : "pages");
  for (uint32_t i = 0; i < CountOf(names.pages); ++i) {
    absl::StrAppend(&text, i == 0 ? " " : " and ", PageAt(names.pages, i));
  }
}

void AppendText(std::string& text, WordValue word) {
  if (word.frame == kNone) {
    text.append("not valid");
  } else {
    absl::StrAppend(&text, "frame ", word.frame);
  }
}

bool ReusesViews(const Variant& variant) {
  return variant.removal_order != RemovalOrder::kWithdrawSample &&
         variant.removal_order != RemovalOrder::kSampleWithdraw;
}

uint32_t StepsInFlight(const Engine& engine) {
  uint32_t count = 0;
  for (const Lane& lane : engine.lanes) {
    for (const Kernel& kernel : lane.kernels) count += kernel.pages != 0 ? 1 : 0;
  }
  return count;
}

bool HasPassed(const Variant& variant, const Lane& lane, uint8_t ticket) {
  if (variant.epoch_words == EpochWords::kBegunAndDone) return lane.done >= ticket;
  return lane.begun == 0 || lane.begun > ticket;
}

bool IsWrittenOff(const Variant& variant, const Engine& engine) {
  if (engine.life == Life::kGone) return true;
  return engine.life == Life::kHostKilled && variant.death == EngineDeath::kFramesReusedAtLeaseEnd;
}

State FirstState(const Variant& variant) {
  State state;
  for (uint8_t i = 0; i < std::min(variant.pages, variant.frames); ++i) {
    state.words[i] = i;
    state.frames[i] = {.use = FrameUse::kPublished, .page = i, .content = i};
  }
  return state;
}

bool IsFinal(const Variant& variant, const State& state) {
  for (size_t id = 0; id < kEngines; ++id) {
    const Engine& engine = state.engines[id];
    if (engine.life == Life::kGone) continue;
    if (engine.life == Life::kHostKilled) return false;
    if (engine.steps_launched < variant.steps[id] || StepsInFlight(engine) > 0) return false;
  }
  return true;
}

void ListMoves(const Variant& variant, const State& state, Sentences sentences,
               std::vector<Move>& moves) {
  moves.clear();
  MoveList list(variant, state, sentences, moves);
  for (uint32_t id = 0; id < kEngines; ++id) AddEngineMoves(list, id);
  AddDaemonMoves(list);
}

}  // namespace kvpager::epoch
