#include "engine_plugin/sequence.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine_plugin/step.h"

namespace kvpager::engine {
namespace {

// kUnavailable if the runs, behind `block_position` blocks, list one that cannot exist, or more
// than the pool has: what they make us allocate is bounded by what it has mapped.
absl::Status CheckRuns(uint32_t block_position, absl::Span<const BlockRun> runs,
                       uint32_t blocks_max) {
  uint64_t blocks = block_position;
  for (const BlockRun& run : runs) {
    if (uint64_t{run.block_first} + run.count > blocks_max) {
      return absl::UnavailableError(absl::StrCat(
          "the daemon named block ", uint64_t{run.block_first} + run.count - 1, " of a pool with ",
          blocks_max, " blocks; close this client and open a new one"));
    }
    blocks += run.count;
    if (blocks > blocks_max) {
      return absl::UnavailableError(
          absl::StrCat("the daemon described a sequence of more blocks than the ", blocks_max,
                       " of the pool; close this client and open a new one"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Sequence::ApplyRuns(uint32_t block_position, absl::Span<const BlockRun> runs,
                                 uint32_t blocks_max) {
  if (block_position > blocks_->size()) {
    return absl::UnavailableError(
        absl::StrCat("the daemon described block position ", block_position,
                     " of a sequence of which it had described ", blocks_->size(),
                     " blocks; close this client and open a new one"));
  }
  if (absl::Status valid = CheckRuns(block_position, runs, blocks_max); !valid.ok()) return valid;
  std::shared_ptr<BlockList> changed;
  if (blocks_.use_count() == 1) {
    changed = std::const_pointer_cast<BlockList>(std::move(blocks_));  // Nobody else looks at it.
    changed->resize(block_position);
  } else {
    changed = std::make_shared<BlockList>(blocks_->begin(), blocks_->begin() + block_position);
  }
  for (const BlockRun& run : runs) {
    for (uint32_t i = 0; i < run.count; ++i) {
      changed->push_back(BlockRef{run.block_first + i, run.generation});
    }
  }
  blocks_ = std::move(changed);
  blocks_count_ = static_cast<uint32_t>(blocks_->size());
  resident_.CutTo(block_position);
  return absl::OkStatus();
}

uint64_t Sequence::stable_tokens() const {
  uint64_t stable_tokens = length_tokens_;
  for (const Step* step : open_steps_) {
    for (const StepEntry& entry : step->entries()) {
      if (entry.sequence != this || entry.dropped || entry.request->append_tokens == 0) continue;
      stable_tokens = std::min(stable_tokens, entry.begin_tokens);
    }
  }
  return stable_tokens;
}

Ticket Sequence::newest_ticket() const {
  for (auto step = open_steps_.rbegin(); step != open_steps_.rend(); ++step) {
    if ((*step)->state() != StepState::kFailed) return (*step)->ticket();
  }
  return Ticket{};
}

void Sequence::Remember(absl::Status error) {
  if (error_.ok()) error_ = std::move(error);
  is_sound_ = error_.ok() && broken_.ok();
}

absl::Status Sequence::TakeError() {
  is_sound_ = broken_.ok();
  return std::exchange(error_, absl::OkStatus());
}

void Sequence::Break(absl::Status why) {
  if (broken_.ok()) broken_ = std::move(why);
  is_sound_ = error_.ok() && broken_.ok();
}

}  // namespace kvpager::engine
