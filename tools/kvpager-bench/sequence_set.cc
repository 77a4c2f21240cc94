#include "tools/kvpager-bench/sequence_set.h"

#include <algorithm>
#include <random>

#include "memmgr/base/status_macros.h"

namespace kvpager::bench {
namespace {

constexpr uint32_t kInterleavedMin = 16;

}  // namespace

absl::StatusOr<std::unique_ptr<SequenceSet>> SequenceSet::Make(const Engine& engine,
                                                               const SequenceSetOptions& options) {
  std::unique_ptr<SequenceSet> set(new SequenceSet(engine));
  const auto distinct = static_cast<uint32_t>(
      std::min<uint64_t>(options.sequences, kDistinctPagesMax / options.pages));
  KVP_RETURN_IF_ERROR(set->Open(distinct, set->sequences_));
  if (options.ids == PageIds::kRuns) {
    KVP_RETURN_IF_ERROR(set->FillInRuns(options.pages));
  } else {
    if (distinct < kInterleavedMin) {
      KVP_RETURN_IF_ERROR(set->Open(kInterleavedMin - distinct, set->fillers_));
    }
    KVP_RETURN_IF_ERROR(set->FillInTurns(options.pages));
  }
  for (uint32_t i = distinct; i < options.sequences; ++i) {
    kvp_seq child = 0;
    KVP_RETURN_IF_ERROR(
        engine.StatusOf(kvp_seq_fork(engine.client(), set->sequences_[i % distinct], &child)));
    set->sequences_.push_back(child);
  }
  set->pages_ = uint64_t{options.sequences} * options.pages;
  return set;
}

SequenceSet::~SequenceSet() {
  for (const std::vector<kvp_seq>* all : {&sequences_, &fillers_}) {
    for (const kvp_seq sequence : *all) {
      if (kvp_seq_close(engine_.client(), sequence) != KVP_OK) continue;  // Closed all the same.
    }
  }
}

absl::Status SequenceSet::Open(uint32_t count, std::vector<kvp_seq>& into) {
  for (uint32_t i = 0; i < count; ++i) {
    kvp_seq sequence = 0;
    KVP_RETURN_IF_ERROR(
        engine_.StatusOf(kvp_seq_open(engine_.client(), nullptr, 0, &sequence, nullptr)));
    into.push_back(sequence);
  }
  return absl::OkStatus();
}

absl::Status SequenceSet::FillInRuns(uint32_t pages) {
  for (const kvp_seq sequence : sequences_) {
    const kvp_step_entry entry = EntryOf(sequence, pages * engine_.page_tokens());
    KVP_RETURN_IF_ERROR(engine_.RunStep(&entry, 1));
  }
  return absl::OkStatus();
}

absl::Status SequenceSet::FillInTurns(uint32_t pages) {
  std::vector<kvp_step_entry> entries;
  for (const std::vector<kvp_seq>* all : {&sequences_, &fillers_}) {
    for (const kvp_seq sequence : *all) entries.push_back(EntryOf(sequence, engine_.page_tokens()));
  }
  for (kvp_step_entry& entry : entries) entry.num_blocks = 0;  // Only what is appended.
  std::mt19937 random(pages);
  for (uint32_t i = 0; i < pages; ++i) {
    std::shuffle(entries.begin(), entries.end(), random);
    KVP_RETURN_IF_ERROR(engine_.RunStep(entries.data(), entries.size()));
  }
  return absl::OkStatus();
}

}  // namespace kvpager::bench
