// What an engine can do: its host thread, and the kernels in its lanes.

#include <algorithm>

#include "memmgr/base/check.h"
#include "tests/sim/epoch_moves.h"

namespace kvpager::epoch {
namespace {

void Enqueue(Lane& lane, const Kernel& kernel) {
  KVP_CHECK_LT(lane.kernels_count, kKernelsMax);
  lane.kernels[lane.kernels_count++] = kernel;
}

void Launch(const Variant& variant, Engine& engine) {
  Lane& lane = engine.lanes[engine.lane];
  Enqueue(lane, {.ticket = lane.issued, .pages = engine.pages, .frames = engine.frames});
  if (ReusesViews(variant)) engine.view = {engine.pages, engine.count_loaded, engine.frames};
  ++engine.steps_launched;
  engine.phase = HostPhase::kIdle;
  engine.pages = engine.words_loaded = engine.count_loaded = 0;
  engine.frames = {kNone, kNone};
}

// From here on the pages stay because the step runs, not because its fault was completed.
void TurnFaultIntoPin(const Variant& variant, Engine& engine) {
  const auto is_unused = [&](const Pin& pin) {
    return pin.ticket == 0 || HasPassed(variant, engine.lanes[pin.lane], pin.ticket);
  };
  const auto unused = std::find_if(engine.pins.begin(), engine.pins.end(), is_unused);
  KVP_CHECK(unused != engine.pins.end());
  *unused = {engine.fault.pages, engine.fault.lane, engine.fault.ticket};
  engine.fault = {};
}

void AddBegins(MoveList& list, uint32_t id) {
  const Variant& variant = list.variant();
  const Engine& engine = list.from().engines[id];
  if (engine.steps_launched >= variant.steps[id]) return;
  if (StepsInFlight(engine) >= variant.steps_in_flight_max) return;
  if (engine.begun_buffered != 0) return;
  for (uint8_t pages = 1; pages < 1u << variant.pages; ++pages) {
    if (CountOf(pages) > variant.step_pages_max) continue;
    Engine& next = list.Next().engines[id];
    next.pages = pages;
    next.lane = Byte(engine.steps_launched % variant.lanes);
    next.phase = ReusesViews(variant) ? HostPhase::kLoadCount : HostPhase::kLoadWords;
    Lane& lane = next.lanes[next.lane];
    ++lane.issued;
    (variant.begin_store == BeginStore::kSeqCst ? lane.begun : next.begun_buffered) = lane.issued;
    list.Say("E", id, ": begun = ", lane.issued, ", for ", PageNames{pages});
  }
}

void LoadCount(MoveList& list, uint32_t id) {
  Engine& next = list.Next().engines[id];
  const uint8_t count = list.from().count;
  next.phase = HostPhase::kLoadWords;
  next.count_loaded = count;
  list.Say("E", id, " loads the count: ", count);
  if (next.view.pages != next.pages || next.view.count != count) return;
  next.frames = next.view.frames;
  Launch(list.variant(), next);
  list.Say(", as before, so it launches with the view it has");
}

void LoadWord(MoveList& list, uint32_t id) {
  Engine& next = list.Next().engines[id];
  const uint8_t page = PageAt(next.pages, next.words_loaded);
  const uint8_t frame = list.from().words[page];
  next.frames[next.words_loaded++] = frame;
  list.Say("E", id, " loads the word of page ", page, ": ", WordValue{frame});
  const uint32_t count = CountOf(next.pages);
  if (next.words_loaded < count) return;
  if (std::count(next.frames.begin(), next.frames.begin() + count, kNone) > 0) {
    next.phase = HostPhase::kMissed;
    list.Say("; a miss");
  } else {
    Launch(list.variant(), next);
    list.Say("; launch");
  }
}

void PostFault(MoveList& list, uint32_t id) {
  const FaultExit exit = list.variant().fault_exit;
  State& next_state = list.Next();
  Engine& next = next_state.engines[id];
  Lane& lane = next.lanes[next.lane];
  uint8_t pages = next.pages;
  if (exit == FaultExit::kStayInside) {
    // The frames it has found are safe: the epoch covers them. It asks for the others.
    for (uint32_t i = 0; i < CountOf(next.pages); ++i) {
      if (next.frames[i] != kNone) pages = Byte(pages & ~(1u << PageAt(next.pages, i)));
    }
  } else {
    if (exit == FaultExit::kHostStore) lane.done = std::max(lane.done, lane.issued);
    if (exit == FaultExit::kEndInLaneOrder) Enqueue(lane, {.ticket = lane.issued});
    ++lane.issued;
    next.frames = {kNone, kNone};
  }
  next.fault = {FaultPhase::kPosted, pages, next.lane, lane.issued};
  next.phase = HostPhase::kWaiting;
  next.words_loaded = 0;
  *std::find(next_state.faults.begin(), next_state.faults.end(), kNone) = Byte(id);
  list.Say("E", id, " faults on ", PageNames{pages}, " for step #", lane.issued);
}

void BeginPinned(MoveList& list, uint32_t id) {
  if (list.from().engines[id].begun_buffered != 0) return;  // Stores drain in order.
  Engine& next = list.Next().engines[id];
  next.lanes[next.lane].begun = next.fault.ticket;
  next.phase = HostPhase::kPinned;
  list.Say("E", id, ": begun = ", next.fault.ticket, ", pinned");
}

void LoadPinnedWord(MoveList& list, uint32_t id) {
  Engine& next = list.Next().engines[id];
  const auto missing = std::find(next.frames.begin(), next.frames.end(), kNone);
  const auto index = static_cast<uint32_t>(missing - next.frames.begin());
  const uint8_t page = PageAt(next.pages, index);
  const uint8_t frame = list.from().words[page];
  list.Say("E", id, " loads the word of page ", page, ": ", WordValue{frame});
  if (frame == kNone) return list.Break(Verdict::kPageGone);
  *missing = frame;
  const auto end = next.frames.begin() + CountOf(next.pages);
  if (std::find(next.frames.begin(), end, kNone) != end) return;
  TurnFaultIntoPin(list.variant(), next);
  Launch(list.variant(), next);
  list.Say("; launch");
}

void AddHostMoves(MoveList& list, uint32_t id) {
  const Engine& engine = list.from().engines[id];
  switch (engine.phase) {
    case HostPhase::kIdle:
      return AddBegins(list, id);
    case HostPhase::kLoadCount:
      return LoadCount(list, id);
    case HostPhase::kLoadWords:
      return LoadWord(list, id);
    case HostPhase::kMissed:
      return PostFault(list, id);
    case HostPhase::kWaiting:
      if (engine.fault.phase != FaultPhase::kCompleted) return;
      if (list.variant().fault_exit == FaultExit::kStayInside) return LoadPinnedWord(list, id);
      return BeginPinned(list, id);
    case HostPhase::kPinned:
      return LoadPinnedWord(list, id);
  }
}

void DrainStoreBuffer(MoveList& list, uint32_t id) {
  Engine& next = list.Next().engines[id];
  next.lanes[next.lane].begun = next.begun_buffered;
  list.Say("E", id, ": others see begun = ", next.begun_buffered);
  next.begun_buffered = 0;
}

void AddDeath(MoveList& list, uint32_t id) {
  const Engine& engine = list.from().engines[id];
  const bool idle = engine.phase == HostPhase::kIdle && StepsInFlight(engine) == 0;
  if (engine.life == Life::kAlive && !idle) {
    list.Next().engines[id].life = Life::kHostKilled;
    list.Say("E", id, ": the host is killed");
  }
  if (engine.life == Life::kHostKilled) {
    State& next = list.Next();
    next.engines[id] = Engine{};
    next.engines[id].life = Life::kGone;
    const auto end = std::remove(next.faults.begin(), next.faults.end(), id);
    std::fill(end, next.faults.end(), kNone);
    list.Say("E", id, ": process and context are gone");
  }
}

void EndKernel(MoveList& list, uint32_t id, uint32_t lane_index, uint32_t index) {
  Lane& lane = list.Next().engines[id].lanes[lane_index];
  const uint8_t ticket = lane.kernels[index].ticket;
  std::copy(lane.kernels.begin() + index + 1, lane.kernels.begin() + lane.kernels_count,
            lane.kernels.begin() + index);
  lane.kernels[--lane.kernels_count] = Kernel{};
  if (list.variant().epoch_words == EpochWords::kSingleSlot) {
    lane.begun = 0;
    list.Say("E", id, ": step #", ticket, " ends, slot = 0");
  } else {
    lane.done = std::max(lane.done, ticket);
    list.Say("E", id, ": step #", ticket, " ends, done = ", lane.done);
  }
}

void AddKernelMove(MoveList& list, uint32_t id, uint32_t lane_index, uint32_t index) {
  const Kernel& kernel = list.from().engines[id].lanes[lane_index].kernels[index];
  if (kernel.pages_read == CountOf(kernel.pages)) return EndKernel(list, id, lane_index, index);
  const uint8_t page = PageAt(kernel.pages, kernel.pages_read);
  const uint8_t frame = kernel.frames[kernel.pages_read];
  ++list.Next().engines[id].lanes[lane_index].kernels[index].pages_read;
  list.Say("E", id, ": the kernel of step #", kernel.ticket, " reads page ", page, " in frame ",
           frame);
  if (list.from().frames[frame].content == page) return;
  list.Break(Verdict::kFrameReused);
  list.Say(", which no longer holds it");
}

}  // namespace

void AddEngineMoves(MoveList& list, uint32_t id) {
  const Variant& variant = list.variant();
  const Engine& engine = list.from().engines[id];
  if (engine.life == Life::kAlive && engine.begun_buffered != 0) DrainStoreBuffer(list, id);
  if (id == 0 && variant.death != EngineDeath::kNever) AddDeath(list, id);
  if (engine.life == Life::kAlive) AddHostMoves(list, id);
  for (uint32_t lane = 0; lane < variant.lanes; ++lane) {
    const uint32_t count = engine.lanes[lane].kernels_count;
    const uint32_t next_to_run = variant.lane_order == LaneOrder::kInOrder ? 1 : count;
    for (uint32_t i = 0; i < std::min(count, next_to_run); ++i) AddKernelMove(list, id, lane, i);
  }
}

}  // namespace kvpager::epoch
