// What the daemon can do. It is one thread: a removal that has started is gone through before
// anything else.

#include <algorithm>
#include <span>

#include "memmgr/base/check.h"
#include "tests/sim/epoch_moves.h"

namespace kvpager::epoch {
namespace {

enum class Act : uint8_t { kWithdraw, kCount, kSample };

constexpr std::array kWithdrawSample = {Act::kWithdraw, Act::kSample};
constexpr std::array kWithdrawCountSample = {Act::kWithdraw, Act::kCount, Act::kSample};
constexpr std::array kCountWithdrawSample = {Act::kCount, Act::kWithdraw, Act::kSample};
constexpr std::array kWithdrawSampleCount = {Act::kWithdraw, Act::kSample, Act::kCount};
constexpr std::array kSampleWithdraw = {Act::kSample, Act::kWithdraw};

std::span<const Act> ActsOf(RemovalOrder order) {
  switch (order) {
    case RemovalOrder::kWithdrawSample:
      return kWithdrawSample;
    case RemovalOrder::kWithdrawCountSample:
      return kWithdrawCountSample;
    case RemovalOrder::kCountWithdrawSample:
      return kCountWithdrawSample;
    case RemovalOrder::kWithdrawSampleCount:
      return kWithdrawSampleCount;
    case RemovalOrder::kSampleWithdraw:
      return kSampleWithdraw;
  }
  KVP_CHECK(false);
}

// The pages that the oldest waiting fault asks for. Faults are served one at a time (R1).
uint8_t WantedPages(const State& state) {
  return state.faults[0] == kNone ? uint8_t{0} : state.engines[state.faults[0]].fault.pages;
}

bool AFaultWaits(const State& state) { return state.faults[0] != kNone; }

bool IsPinnedBy(const Variant& variant, const Engine& engine, uint32_t page) {
  if (IsWrittenOff(variant, engine)) return false;
  if (variant.fault_pin == FaultPin::kUntilCompletion) return false;
  if (engine.fault.phase == FaultPhase::kCompleted && Contains(engine.fault.pages, page)) {
    return true;
  }
  return std::any_of(engine.pins.begin(), engine.pins.end(), [&](const Pin& pin) {
    return pin.ticket != 0 && Contains(pin.pages, page) &&
           !HasPassed(variant, engine.lanes[pin.lane], pin.ticket);
  });
}

bool IsPinned(const Variant& variant, const State& state, uint32_t page) {
  if (Contains(WantedPages(state), page) &&
      !IsWrittenOff(variant, state.engines[state.faults[0]])) {
    return true;
  }
  return std::any_of(state.engines.begin(), state.engines.end(),
                     [&](const Engine& engine) { return IsPinnedBy(variant, engine, page); });
}

bool AnyFrame(const State& state, FrameUse use, uint32_t page) {
  return std::any_of(state.frames.begin(), state.frames.end(),
                     [&](const Frame& frame) { return frame.use == use && frame.page == page; });
}

// Reads one lane's `begun`. True if it was the last lane.
bool SampleNext(MoveList& list, State& next) {
  const Variant& variant = list.variant();
  const uint32_t id = next.removal.slot / variant.lanes;
  const uint32_t lane_index = next.removal.slot % variant.lanes;
  const Engine& engine = list.from().engines[id];
  const Lane& lane = engine.lanes[lane_index];
  const bool passed = IsWrittenOff(variant, engine) || HasPassed(variant, lane, lane.begun);
  next.frames[next.removal.frame].samples[id][lane_index] = passed ? uint8_t{0} : lane.begun;
  list.Say("D samples lane ", lane_index, " of E", id, ": begun = ", lane.begun);
  return ++next.removal.slot == kEngines * variant.lanes;
}

// The next load or store of the removal in `next`, which is the newest move.
void Remove(MoveList& list, State& next) {
  const std::span<const Act> acts = ActsOf(list.variant().removal_order);
  Removal& removal = next.removal;
  Frame& frame = next.frames[removal.frame];
  bool complete = true;
  switch (acts[removal.act]) {
    case Act::kWithdraw:
      next.words[frame.page] = kNone;
      frame.use = FrameUse::kLimbo;
      list.Say("D withdraws the word of page ", frame.page, ", frame ", removal.frame,
               " is in limbo");
      break;
    case Act::kCount:
      ++next.count;
      list.Say("D raises the count: ", next.count);
      break;
    case Act::kSample:
      complete = SampleNext(list, next);
      break;
  }
  if (complete) ++removal.act;
  if (removal.act == acts.size()) removal = Removal{};
}

void AddRemovals(MoveList& list) {
  const Variant& variant = list.variant();
  const State& from = list.from();
  if (variant.withdrawals_max != 0 && from.withdrawals == variant.withdrawals_max) return;
  for (uint32_t page = 0; page < variant.pages; ++page) {
    if (from.words[page] == kNone || IsPinned(variant, from, page)) continue;
    const bool makes_room = AFaultWaits(from) && !Contains(WantedPages(from), page);
    if (variant.eviction == Eviction::kOnDemand && !makes_room) continue;
    State& next = list.Next();
    next.removal.frame = from.words[page];
    if (variant.withdrawals_max != 0) ++next.withdrawals;
    Remove(list, next);
  }
}

// An end is seen per lane; when all are, the frame is free.
void AddLimboMoves(MoveList& list, uint8_t index) {
  const Variant& variant = list.variant();
  bool free = true;
  for (uint32_t id = 0; id < kEngines; ++id) {
    const Engine& engine = list.from().engines[id];
    for (uint32_t lane = 0; lane < variant.lanes; ++lane) {
      const uint8_t sample = list.from().frames[index].samples[id][lane];
      if (sample == 0) continue;
      free = false;
      if (!IsWrittenOff(variant, engine) && !HasPassed(variant, engine.lanes[lane], sample)) {
        continue;
      }
      list.Next().frames[index].samples[id][lane] = 0;
      list.Say("D sees that lane ", lane, " of E", id, " has passed, for frame ", index);
    }
  }
  if (!free) return;
  Frame& frame = list.Next().frames[index];
  frame.use = FrameUse::kFree;
  frame.page = kNone;
  list.Say("D frees frame ", index);
}

void AddRescue(MoveList& list, uint8_t index) {
  const State& from = list.from();
  const uint8_t page = from.frames[index].page;
  if (from.words[page] != kNone || !Contains(WantedPages(from), page)) return;
  if (AnyFrame(from, FrameUse::kFilling, page)) return;
  State& next = list.Next();
  next.words[page] = index;
  next.frames[index].use = FrameUse::kPublished;
  next.frames[index].samples = {};
  list.Say("D publishes page ", page, " again, in frame ", index, " that was in limbo");
}

void AddFill(MoveList& list, uint8_t page) {
  const Variant& variant = list.variant();
  const State& from = list.from();
  if (from.words[page] != kNone || AnyFrame(from, FrameUse::kFilling, page)) return;
  if (AFaultWaits(from) ? !Contains(WantedPages(from), page)
                        : variant.eviction == Eviction::kOnDemand) {
    return;
  }
  const bool rescues = variant.limbo_fault == LimboFault::kRescue;
  if (rescues && AnyFrame(from, FrameUse::kLimbo, page)) return;
  for (uint8_t index = 0; index < variant.frames; ++index) {
    if (from.frames[index].use != FrameUse::kFree) continue;
    list.Next().frames[index] = {.use = FrameUse::kFilling, .page = page};
    list.Say("D starts to fill frame ", index, " with page ", page);
    return;
  }
}

void AddPublication(MoveList& list, uint8_t index) {
  State& next = list.Next();
  Frame& frame = next.frames[index];
  frame.use = FrameUse::kPublished;
  frame.content = frame.page;
  next.words[frame.page] = index;
  list.Say("D publishes page ", frame.page, " in frame ", index);
}

void AddCompletion(MoveList& list) {
  const State& from = list.from();
  for (uint32_t page = 0; page < list.variant().pages; ++page) {
    if (Contains(WantedPages(from), page) && from.words[page] == kNone) return;
  }
  State& next = list.Next();
  next.engines[from.faults[0]].fault.phase = FaultPhase::kCompleted;
  next.faults = {from.faults[1], kNone};
  list.Say("D completes the fault of E", from.faults[0]);
}

}  // namespace

void AddDaemonMoves(MoveList& list) {
  const Variant& variant = list.variant();
  const State& from = list.from();
  if (from.removal.frame != kNone) return Remove(list, list.Next());
  AddRemovals(list);
  for (uint8_t index = 0; index < variant.frames; ++index) {
    if (from.frames[index].use != FrameUse::kLimbo) continue;
    AddLimboMoves(list, index);
    if (variant.limbo_fault == LimboFault::kRescue) AddRescue(list, index);
  }
  for (uint8_t page = 0; page < variant.pages; ++page) AddFill(list, page);
  for (uint8_t index = 0; index < variant.frames; ++index) {
    if (from.frames[index].use == FrameUse::kFilling) AddPublication(list, index);
  }
  if (AFaultWaits(from)) AddCompletion(list);
}

}  // namespace kvpager::epoch
