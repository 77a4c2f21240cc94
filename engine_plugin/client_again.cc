// engine_plugin/client_again.cc
//
// A decode loop runs the same batch again and again. When a step without a message has ended, all
// that was found out for it is kept: who takes part, where the pages are, which withdrawal counters
// vouch for that, and the lists of its view. A next step over the same batch only has to see that
// nothing has changed since:
//
//   in this process    changes() counts what changes sequences, other than steps without a message;
//                      of those, each sequence counts its own
//   in the daemon      no counter has been raised: loaded behind `begun`, as every word would be
//                      (docs/SHARED_PAGE_TABLE.md)

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
  Step* const begun = lanes_.Add(std::move(step));
  for (StepEntry& entry : begun->entries()) {
    Sequence& sequence = *entry.sequence;
    entry.begins = ++sequence.begins;
    entry.begin_tokens = sequence.length_tokens();
    sequence.set_length_tokens(entry.end_tokens());
    sequence.open_steps().push_back(begun);
  }
  return begun;
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

bool Client::Repeats(const Step& step, absl::Span<const StepEntryRequest> entries) const {
  if (!is_undisturbed(&step) || step.entries().size() != entries.size()) return false;
  const uint32_t page_tokens = geometry_.page_tokens;
  for (size_t i = 0; i < entries.size(); ++i) {
    const StepEntry& before = step.entries()[i];
    if (before.request != entries[i] || before.sequence->begins != before.begins) return false;
    const uint32_t append_tokens = entries[i].append_tokens;
    if (append_tokens == 0) continue;
    const uint64_t rows = before.end_tokens() % page_tokens;             // Of the page appended to.
    if (rows == 0 || rows + append_tokens >= page_tokens) return false;  // Full: to be reported.
  }
  return !step.fills;
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

void Client::EndUndisturbed(Step* step) {
  step->ended = true;
  const uint32_t lane = step->ticket().lane;
  for (const StepEntry& entry : step->entries()) {
    Sequence::OpenSteps& open = entry.sequence->open_steps();
    KVP_CHECK(open.front() == step);  // Steps of a lane end in order.
    open.erase(open.begin());
  }
  std::unique_ptr<Step> ended = lanes_.Remove(step);
  PublishDone(lane);
  if (ended->fills) ReportFilled(*ended);
  Spare(std::move(ended));
}

}  // namespace kvpager::engine
