// engine_plugin/client_message_free.cc
//
// Steps whose pages are all in HBM: no message to begin, none to end. The daemon learns afterwards,
// from the lanes, what may still be read, and with the next message what was appended
// (docs/SHARED_PAGE_TABLE.md).

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "engine_plugin/client.h"
#include "engine_plugin/view.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::engine {
namespace {

uint64_t BeginOf(const Step& step, const Sequence* sequence) {
  for (const StepEntry& entry : step.entries()) {
    if (entry.sequence == sequence) return entry.begin_tokens;
  }
  return ~uint64_t{0};
}

// Blocks behind those that the sequence has.
uint32_t BlocksBeyond(const StepEntry& entry) {
  const uint32_t blocks_count = entry.sequence->blocks_count();
  return entry.blocks_end - std::min(entry.blocks_end, blocks_count);
}

// The step writes the last row of a block.
bool FillsBlock(const StepEntry& entry, uint32_t page_tokens) {
  return entry.end_tokens() / page_tokens != entry.begin_tokens / page_tokens;
}

// What the entry appends, and how often it could do so again.
void AddAppended(const StepEntry& entry, uint32_t page_tokens, Step* step) {
  const uint64_t tokens = entry.request->append_tokens;
  if (tokens == 0) return;
  const uint64_t rows = entry.end_tokens() - uint64_t{entry.append_position} * page_tokens;
  step->appends = true;
  step->fills |= rows >= page_tokens;
  const uint64_t rows_left = page_tokens - 1 - std::min<uint64_t>(rows, page_tokens - 1);
  step->repeats_left = std::min(step->repeats_left, tokens == 1 ? rows_left : rows_left / tokens);
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

bool Client::MayRunMessageFree(StepResidency residency, Step* step,
                               uint64_t rewrite_from_tokens) const {
  if (!message_free_ || residency != StepResidency::kResident) return false;
  if (rewrite_from_tokens != kNoRewrite) return false;
  // Steps of a lane end in order, so this one would not end before the one that waits; and what
  // that one waits for may be a frame that this one reads.
  if (lanes_.any_pending()) return false;
  for (const StepEntry& entry : step->entries()) {
    const Sequence& sequence = *entry.sequence;
    sequence.PrefetchBlocks();
    if (entry.request->draft != 0 || InPinnedStep(sequence)) return false;
    // Rows behind the last ones of a block that is ours alone need nobody's leave, nor do those of
    // one more block, if there is a credit.
    const uint32_t blocks_beyond = BlocksBeyond(entry);
    const bool appends = entry.request->append_tokens > 0;
    if (appends ? !sequence.tail_is_ours() : blocks_beyond > 0) return false;
    if (blocks_beyond == 0) continue;
    if (blocks_beyond > 1 || !CreditOf(sequence).has_value()) return false;
    step->takes_credits = true;
  }
  return true;
}

std::optional<CreditWord> Client::CreditOf(const Sequence& sequence) const {
  if (sequence.credit.has_value()) return std::nullopt;  // One at a time.
  const std::atomic<uint64_t>* word = link_->lanes().credit_of(sequence.id());
  if (word == nullptr) return std::nullopt;
  const CreditWord credit = CreditWord::Unpack(word->load());
  const bool ours = credit.state == CreditWordState::kGranted &&
                    credit.tag == CreditWord::TagOf(sequence.id()) &&
                    credit.block < pool().blocks_max;
  return ours ? std::optional(credit) : std::nullopt;
}

bool Client::TakeCredit(Sequence* sequence) {
  const std::optional<CreditWord> credit = CreditOf(*sequence);
  if (!credit.has_value()) return false;
  CreditWord taken = *credit;
  taken.state = CreditWordState::kTaken;
  uint64_t expected = credit->Pack();
  std::atomic<uint64_t>& word = *link_->lanes().credit_of(sequence->id());
  if (!word.compare_exchange_strong(expected, taken.Pack())) return false;  // Just revoked.
  const BlockRun run{credit->block, 1, credit->generation};
  const auto position = static_cast<uint32_t>(sequence->blocks()->size());
  const absl::Status applied = sequence->ApplyRuns(position, {&run, 1}, pool().blocks_max);
  KVP_CHECK(applied.ok());
  sequence->credit = TakenCredit{*credit, position};
  return true;
}

void Client::UndoCredit(Sequence* sequence) {
  const TakenCredit credit = *sequence->credit;
  sequence->credit.reset();
  if (sequence->blocks()->size() > credit.position) {
    const absl::Status applied = sequence->ApplyRuns(credit.position, {}, pool().blocks_max);
    KVP_CHECK(applied.ok());
  }
  CreditWord taken = credit.word;
  taken.state = CreditWordState::kTaken;
  uint64_t expected = taken.Pack();
  // If it is another one by now, the daemon has cleared it: the sequence was cut.
  link_->lanes().credit_of(sequence->id())->compare_exchange_strong(expected, credit.word.Pack());
}

void Client::UndoCreditBehind(Sequence* sequence, uint64_t tokens) {
  if (!sequence->credit.has_value()) return;
  if (tokens <= uint64_t{sequence->credit->position} * geometry_.page_tokens) UndoCredit(sequence);
}

// All of those that the step needs, or none.
bool Client::TakeCredits(const Step& step) {
  if (!step.takes_credits) return true;
  for (const StepEntry& entry : step.entries()) {
    if (BlocksBeyond(entry) == 0 || TakeCredit(entry.sequence)) continue;
    UndoCredits(step);
    return false;
  }
  return true;
}

void Client::UndoCredits(const Step& step) {
  if (!step.takes_credits) return;
  for (const StepEntry& entry : step.entries())
    UndoCreditBehind(entry.sequence, entry.begin_tokens);
}

bool Client::FindResident(const StepEntry& entry, Step* step) const {
  Sequence& sequence = *entry.sequence;
  ResidentPages& resident = sequence.resident();
  for (uint32_t group = 0; group < pool().num_groups; ++group) {
    ListedPositions listed = ListPositions(entry, group);
    if (listed.read.first < listed.read.end && listed.read.end == listed.appended.first) {
      listed.read.end = listed.appended.first = listed.appended.end;  // One piece.
    }
    const ResidentPages::Source source{link_->page_table(), pool().frames_hbm, group,
                                       sequence.blocks(), sequence.blocks_count()};
    for (const auto& piece : {listed.read, listed.appended}) {
      const auto first = static_cast<uint32_t>(piece.first);
      const auto end = static_cast<uint32_t>(piece.end);
      if (first < end && !resident.Refresh(source, first, end, step->watches)) return false;
    }
    step->frames.push_back(resident.frames(group));
  }
  return true;
}

bool Client::FindAllResident(Step* step) const {
  step->repeats_left = ~uint64_t{0};
  for (const StepEntry& entry : step->entries()) {
    if (!FindResident(entry, step)) return false;
    AddTouch(entry.sequence->id(), step->touches);
    AddAppended(entry, geometry_.page_tokens, step);
  }
  return true;
}

bool Client::TryMessageFree(uint32_t lane, Step* step) {
  const Ticket ticket = lanes_.NextTicket(lane);
  SharedLanes& shared = link_->lanes();
  shared.lanes[lane].begun.store(ticket.number);  // Before any word is read.
  const bool took = TakeCredits(*step);
  if (!took || !FindAllResident(step)) {
    if (took) UndoCredits(*step);
    step->ForgetFound();
    PublishDone(lane);  // A miss leaves the epoch.
    return false;
  }
  for (const TouchedBits& touch : step->touches) shared.Touch(touch.word, touch.bits);
  step->Begin(ticket, StepResidency::kResident);
  step->message_free = true;
  step->begins_unsettled = step->appends ? 1 : 0;
  step->SetReady(StepTimes{});
  return true;
}

void Client::PublishDone(uint32_t lane) {
  if (message_free_) link_->lanes().lanes[lane].done.store(lanes_.done(lane));
}

absl::Status Client::Report(Sequence* sequence) {
  if (!message_free_ || sequence->length_tokens() <= sequence->told_tokens()) {
    return absl::OkStatus();
  }
  return SendAppended(sequence, /*written_tokens=*/0);
}

void Client::ReportFilled(const Step& ended) {
  Settle();
  for (const StepEntry& entry : ended.entries()) {
    if (entry.dropped || !FillsBlock(entry, geometry_.page_tokens)) continue;
    Sequence* sequence = entry.sequence;
    uint64_t written_tokens = sequence->length_tokens();
    for (const Step* open : sequence->open_steps()) {
      if (open != &ended) written_tokens = std::min(written_tokens, BeginOf(*open, sequence));
    }
    SendAppended(sequence, written_tokens).IgnoreError();  // The next call says so.
    ++reports_;
  }
}

}  // namespace kvpager::engine
