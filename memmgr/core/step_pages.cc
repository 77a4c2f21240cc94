#include "memmgr/core/step_pages.h"

#include <algorithm>
#include <cstdint>

#include "memmgr/base/check.h"
#include "memmgr/base/units.h"

namespace kvpager {
namespace {

// `first + count`, where a count may be "all of them".
uint32_t EndOf(uint32_t first, uint32_t count, uint32_t end_max) {
  return count > end_max - std::min(first, end_max) ? end_max : first + count;
}

}  // namespace

StepPages::StepPages(const CoreState& state, const Step& step, const PageCursor& from)
    : state_(state), cursor_(from), walk_(state.sequences, Sequence{}, 0) {
  KVP_CHECK(step.admitted);
  if (valid() && !cursor_.tail_source) Seek(cursor_.position);
  Settle();
}

BlockIndex StepPages::block() const {
  return cursor_.tail_source ? entry().tail_source : walk_.block();
}

void StepPages::Seek(uint32_t position) {
  cursor_.position = position;
  const Sequence* sequence = state_.sequences.Find(entry().sequence);
  KVP_CHECK(sequence != nullptr);
  walk_ = SequenceTable::Walk(state_.sequences, *sequence, position);
}

void StepPages::Next() {
  ++cursor_.group;
  Settle();
}

void StepPages::Settle() {
  while (valid() && !SettleInEntry()) {
    cursor_ = {.entry = entry().next, .tail_source = true};
  }
}

bool StepPages::SettleInEntry() {
  const uint32_t groups = state_.limits.num_groups;
  const EntryState& row = entry();
  const auto blocks_end =
      static_cast<uint32_t>(CeilDiv(row.length_after_tokens, state_.limits.page_tokens));
  const uint32_t range_end = EndOf(row.range.block_first, row.range.block_count, blocks_end);
  const uint32_t groups_end = EndOf(row.range.group_first, row.range.group_count, groups);
  if (cursor_.tail_source) {
    if (!row.tail_source.is_none() && cursor_.group < groups) return true;
    cursor_.tail_source = false;
    cursor_.group = 0;
    Seek(std::min(row.range.block_first, row.write_first));
  }
  while (cursor_.position < blocks_end) {
    const bool written = cursor_.position >= row.write_first;
    const bool in_range = cursor_.position >= row.range.block_first && cursor_.position < range_end;
    if (!written && !in_range) {
      if (cursor_.position >= range_end && row.write_first >= blocks_end) return false;
      const uint32_t next =
          cursor_.position < row.range.block_first ? row.range.block_first : row.write_first;
      cursor_.group = 0;
      Seek(std::min(next, row.write_first));
      continue;
    }
    const uint32_t group_first = written ? 0 : std::min(row.range.group_first, groups);
    const uint32_t group_end = written ? groups : groups_end;
    cursor_.group = std::max(cursor_.group, group_first);
    if (cursor_.group < group_end) return true;
    cursor_.group = 0;
    ++cursor_.position;
    walk_.Next();
  }
  return false;
}

}  // namespace kvpager
