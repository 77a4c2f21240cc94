#include "engine_plugin/step.h"

#include <algorithm>
#include <utility>

#include "memmgr/base/check.h"
#include "memmgr/base/units.h"

namespace kvpager::engine {

void ViewLists::Clear() {
  indptr.clear();
  indices.clear();
  last_page_len.clear();
  positions.clear();
}

void StepEntry::Place(uint64_t tokens, uint32_t page_tokens) {
  begin_tokens = tokens;
  const uint64_t position = tokens / page_tokens;
  const uint64_t rows = tokens - position * page_tokens + request->append_tokens;
  const uint64_t more = rows <= page_tokens ? (rows > 0 ? 1 : 0) : CeilDiv(rows, page_tokens);
  append_position = static_cast<uint32_t>(position);
  blocks_end = static_cast<uint32_t>(position + more);
}

void Step::Clear() {
  KVP_CHECK(!deferred);
  message_free = false;
  ended = false;
  ended_early = false;
  request = 0;
  waits.clear();
  entries_.clear();
  ForgetFound();
  asked.clear();
  repeats_left = 0;
  takes_credits = false;
  repeats_unsettled = 0;
  begins_unsettled = 0;
  view_lag = 0;
  is_listed = false;
  view_group = kAll;
  unsure_pages.clear();
  state_ = StepState::kPending;
  failure_ = absl::OkStatus();
  times_ = StepTimes{};
}

void Step::ForgetFound() {
  frames.clear();
  watches.clear();
  watches_distinct = false;
  touches.clear();
  appends = false;
  fills = false;
}

void Step::Begin(Ticket ticket, StepResidency residency) {
  ticket_ = ticket;
  residency_ = residency;
  if (residency == StepResidency::kSplit) views.clear();  // A resident step's are overwritten.
}

void Step::BeginAgain(Ticket ticket) {
  ticket_ = ticket;
  ended = false;
  ended_early = false;
  if (!appends) return;
  --repeats_left;
  ++repeats_unsettled;
  ++begins_unsettled;
  ++view_lag;
}

void Step::SetReady(const StepTimes& times) {
  state_ = StepState::kReady;
  times_ = times;
  if (message_free) return;
  for (StepEntry& entry : entries_) entry.blocks = entry.sequence->blocks();
}

void Step::SetFailed(absl::Status why) {
  state_ = StepState::kFailed;
  failure_ = std::move(why);
}

absl::Status Step::dropped_why() const {
  for (const StepEntry& entry : entries_) {
    if (entry.dropped) {
      if (!entry.dropped_why.ok()) return entry.dropped_why;
    }
  }
  return absl::OkStatus();
}

Step* Lanes::Add(std::unique_ptr<Step> step) {
  KVP_CHECK_LT(step->ticket().lane, kLaneCount);
  Lane& lane = lanes_[step->ticket().lane];
  lane.steps.push_back(std::move(step));
  ++open_count_;
  return lane.steps.back().get();
}

bool Lanes::is_oldest(const Step* step) const { return oldest(step->ticket().lane) == step; }

std::unique_ptr<Step> Lanes::Remove(const Step* step) {
  std::deque<std::unique_ptr<Step>>& steps = lanes_[step->ticket().lane].steps;
  const auto found = std::find_if(steps.begin(), steps.end(),
                                  [step](const auto& other) { return other.get() == step; });
  KVP_CHECK(found != steps.end());
  std::unique_ptr<Step> removed = std::move(*found);
  steps.erase(found);
  --open_count_;
  return removed;
}

bool Lanes::any_pending() const {
  for (const Lane& lane : lanes_) {
    for (const auto& step : lane.steps) {
      if (step->state() == StepState::kPending) return true;
    }
  }
  return false;
}

uint64_t Lanes::done(uint32_t lane) const {
  for (const auto& step : lanes_[lane].steps) {
    if (!step->ended) return step->ticket().number - 1;
  }
  return lanes_[lane].number;
}

Step* Lanes::oldest(uint32_t lane) const {
  KVP_CHECK_LT(lane, kLaneCount);
  const Lane& chosen = lanes_[lane];
  return chosen.steps.empty() ? nullptr : chosen.steps.front().get();
}

}  // namespace kvpager::engine
