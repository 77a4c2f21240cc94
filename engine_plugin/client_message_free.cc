// engine_plugin/client_message_free.cc
//
// Steps whose pages are all in HBM: no message to begin, none to end. The daemon learns afterwards,
// from the lanes, what may still be read, and with the next message what was appended
// (docs/SHARED_PAGE_TABLE.md).

#include <utility>

#include "engine_plugin/client.h"
#include "engine_plugin/view.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"

namespace kvpager::engine {
namespace {

// Rows that fit behind the last ones of a block that is ours alone need nobody's leave.
bool AppendsInPlace(const StepEntry& entry, uint32_t page_tokens) {
  const uint32_t append_tokens = entry.request.append_tokens;
  if (append_tokens == 0) return true;
  const uint64_t rows = entry.begin_tokens % page_tokens;
  return entry.sequence->tail_is_ours() && rows > 0 && rows + append_tokens <= page_tokens;
}

// Sequences that were opened one after another share a word.
void AddTouch(uint64_t sequence, std::vector<TouchedBits>& touches) {
  const uint32_t word = SharedLanes::TouchedWordOf(sequence);
  if (touches.empty() || touches.back().word != word) touches.push_back({word, 0});
  touches.back().bits |= SharedLanes::TouchedBitOf(sequence);
}

bool InPinnedStep(const Sequence& sequence) {
  for (const Step* step : sequence.open_steps()) {
    if (!step->message_free) return true;
  }
  return false;
}

}  // namespace

bool Client::MayRunMessageFree(StepResidency residency, const std::vector<StepEntry>& entries,
                               uint64_t rewrite_from_tokens) const {
  if (!message_free_ || residency != StepResidency::kResident) return false;
  if (rewrite_from_tokens != kNoRewrite) return false;
  // Steps of a lane end in order, so this one would not end before the one that waits; and what
  // that one waits for may be a frame that this one reads.
  if (lanes_.any_pending()) return false;
  for (const StepEntry& entry : entries) {
    const Sequence& sequence = *entry.sequence;
    if (entry.request.draft || InPinnedStep(sequence)) return false;
    if (!AppendsInPlace(entry, geometry_.page_tokens)) return false;
    if (sequence.blocks()->size() < CeilDiv(entry.end_tokens(), geometry_.page_tokens))
      return false;
  }
  return true;
}

bool Client::FindResident(const StepEntry& entry, Step* step) const {
  ResidentPages& resident = entry.sequence->resident();
  for (uint32_t group = 0; group < pool().num_groups; ++group) {
    const ListedPositions listed = ListPositions(entry, group, geometry_.page_tokens);
    const ResidentPages::Source source{link_->page_table(), pool().frames_hbm, group,
                                       *entry.sequence->blocks()};
    for (const auto& piece : {listed.read, listed.appended}) {
      const auto first = static_cast<uint32_t>(piece.first);
      const auto end = static_cast<uint32_t>(piece.end);
      if (first < end && !resident.Refresh(source, first, end, step->watches)) return false;
    }
    step->frames.push_back(resident.frames(group));
  }
  return true;
}

bool Client::TryMessageFree(uint32_t lane, Step* step) {
  const Ticket ticket = lanes_.NextTicket(lane);
  SharedLanes& shared = link_->lanes();
  shared.lanes[lane].begun.store(ticket.number);  // Before any word is read.
  for (const StepEntry& entry : step->entries()) {
    if (FindResident(entry, step)) continue;
    step->frames.clear();
    step->watches.clear();
    PublishDone(lane);  // A miss leaves the epoch.
    return false;
  }
  for (const StepEntry& entry : step->entries()) {
    AddTouch(entry.sequence->id(), step->touches);
    step->appends |= entry.request.append_tokens > 0;
  }
  for (const TouchedBits& touch : step->touches) shared.Touch(touch.word, touch.bits);
  step->Begin(ticket, StepResidency::kResident);
  step->message_free = true;
  step->SetReady(StepTimes{});
  return true;
}

void Client::PublishDone(uint32_t lane) {
  if (message_free_) link_->lanes().lanes[lane].done.store(lanes_.done(lane));
}

absl::Status Client::Report(Sequence* sequence) {
  const uint64_t told_tokens = sequence->told_tokens();
  if (!message_free_ || sequence->length_tokens() <= told_tokens) return absl::OkStatus();
  KVP_RETURN_IF_ERROR(SendAppended(sequence, told_tokens,
                                   static_cast<uint32_t>(sequence->length_tokens() - told_tokens)));
  sequence->set_told_tokens(sequence->length_tokens());
  return absl::OkStatus();
}

}  // namespace kvpager::engine
