// engine_plugin/client_again.cc
//
// A decode loop runs the same batch again and again. When a step without a message has ended, all
// that was found out for it is kept: who takes part, where the pages are, which withdrawal counters
// vouch for that, and the lists of its view. A next step over the same batch only has to see that
// nothing has changed since:
//
//   in this process    changes() counts what changes sequences, other than steps without a message;
//                      of those, each sequence knows the last that named it
//   in the daemon      no counter has been raised: loaded behind `begun`, as every word would be
//                      (docs/SHARED_PAGE_TABLE.md)
//
// A step without a message leaves its sequences as they are, and a repeat its entries too. That it
// is open, and how many tokens longer it has made each, is noted once, in the step, and passed on
// to them when somebody looks (Settle).

#include <cstring>
#include <type_traits>
#include <utility>

#include "engine_plugin/client.h"

namespace kvpager::engine {

Step* Client::BeginAgain(uint32_t lane, absl::Span<const StepEntryRequest> entries) {
  if (spare_steps_.empty() || lanes_.open_count() >= kStepsOpenMax || lanes_.any_pending()) {
    return nullptr;
  }
  std::unique_ptr<Step> step = TakeRepeated(lane, entries);
  if (step == nullptr) return nullptr;
  SharedLanes& shared = link_->lanes();
  const Ticket ticket = lanes_.NextTicket(lane);
  shared.lanes[lane].begun.store(ticket.number);  // Before any counter is read.
  for (const Watch& watch : step->watches) {
    if (watch.holds()) continue;
    PublishDone(lane);
    Settle();
    step->Clear();
    Spare(std::move(step));
    return nullptr;
  }
  if (!step->watches_distinct) {
    KeepDistinct(step->watches);
    step->watches_distinct = true;
  }
  for (const TouchedBits& touch : step->touches) shared.Touch(touch.word, touch.bits);
  step->BeginAgain(ticket);
  Defer(step.get());
  return lanes_.Add(std::move(step));
}

std::unique_ptr<Step> Client::TakeRepeated(uint32_t lane,
                                           absl::Span<const StepEntryRequest> entries) {
  for (auto spare = spare_steps_.rbegin(); spare != spare_steps_.rend(); ++spare) {
    if ((*spare)->ticket().lane != lane || !Repeats(**spare, entries)) continue;
    std::unique_ptr<Step> step = std::move(*spare);
    spare_steps_.erase(std::next(spare).base());
    return step;
  }
  return nullptr;
}

bool Client::Repeats(Step& step, absl::Span<const StepEntryRequest> entries) const {
  if (!is_undisturbed(&step) || step.repeats_left == 0) return false;
  static_assert(std::has_unique_object_representations_v<StepEntryRequest>);
  if (step.asked.size() != entries.size() ||
      std::memcmp(step.asked.data(), entries.data(), entries.size() * sizeof(entries[0])) != 0) {
    return false;
  }
  return IsNewestOfItsSequences(step);
}

// As long as no list of entries was checked since we looked, nothing was begun over our sequences
// that is not a repeat.
bool Client::IsNewestOfItsSequences(Step& step) const {
  if (step.checks_seen == checks_) return true;
  for (const StepEntry& entry : step.entries()) {
    if (entry.sequence->named_in != step.check) return false;
  }
  step.checks_seen = checks_;
  return true;
}

void Client::Defer(Step* step) {
  if (!std::exchange(step->deferred, true)) deferred_.push_back(step);
}

void Client::SettleNow() {
  for (Step* const step : deferred_) {
    step->deferred = false;
    const uint64_t repeats = std::exchange(step->repeats_unsettled, 0);
    const uint64_t begins = std::exchange(step->begins_unsettled, 0);
    if (!step->ended && !step->is_listed) List(step);
    if (begins == 0) continue;
    for (StepEntry& entry : step->entries()) {
      const uint64_t tokens = entry.request->append_tokens;
      entry.begin_tokens += repeats * tokens;
      entry.sequence->set_length_tokens(entry.sequence->length_tokens() + begins * tokens);
    }
  }
  deferred_.clear();
}

// Sequences whose ids lie among each other have most counters in common. REQUIRES: all hold, so
// that those of one counter are equal.
void Client::KeepDistinct(std::vector<Watch>& watches) {
  const PageTableReader& table = link_->page_table();
  watched_.resize(table.withdrawals_count());
  size_t kept = 0;
  for (const Watch& watch : watches) {
    const auto index = static_cast<size_t>(watch.counter - &table.withdrawals(0, 0));
    if (watched_[index]) continue;
    watched_[index] = true;
    watches[kept++] = watch;
  }
  watches.resize(kept);
  for (const Watch& watch : watches) {
    watched_[static_cast<size_t>(watch.counter - &table.withdrawals(0, 0))] = false;
  }
}

void Client::List(Step* step) {
  for (const StepEntry& entry : step->entries()) entry.sequence->open_steps().push_back(step);
  step->is_listed = true;
}

void Client::Unlist(Step* step) {
  for (const StepEntry& entry : step->entries()) {
    Sequence::OpenSteps& open = entry.sequence->open_steps();
    KVP_CHECK(open.front() == step);  // Steps of a lane end in order.
    open.erase(open.begin());
  }
  step->is_listed = false;
}

void Client::EndUndisturbed(Step* step) {
  step->ended = true;
  const uint32_t lane = step->ticket().lane;
  if (step->is_listed) Unlist(step);
  std::unique_ptr<Step> ended = lanes_.Remove(step);
  PublishDone(lane);
  if (ended->fills) ReportFilled(*ended);
  Spare(std::move(ended));
}

}  // namespace kvpager::engine
