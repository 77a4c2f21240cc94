// memmgr/core/step_pages.h
//
// StepPages: a walk over every page that a step reads or writes, from any cursor on. Per entry:
//
//   the block its partial tail was copied from, if any     all groups
//   blocks of the range, before the first written one      the range's groups
//   blocks from the first written one to the end           all groups
//
// A page that two entries share is met twice, and pinned twice. Thread-safety: none. O(1) a page,
// plus O(position / 32) at the start of each entry.

#ifndef KVPAGER_MEMMGR_CORE_STEP_PAGES_H_
#define KVPAGER_MEMMGR_CORE_STEP_PAGES_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/sequence_table.h"
#include "memmgr/core/state.h"
#include "memmgr/core/step_table.h"

namespace kvpager {

class StepPages {
 public:
  StepPages(const CoreState& state, const Step& step, const PageCursor& from);

  static PageCursor Start(const Step& step) {
    return {.entry = step.entry_first, .tail_source = true};
  }

  bool valid() const { return cursor_.entry != kNoSlot; }
  void Next();
  const PageCursor& cursor() const { return cursor_; }

  BlockIndex block() const;
  PageIndex page() const { return state_.blocks.page_of(block(), cursor_.group); }
  const EntryState& entry() const { return state_.steps.entry(cursor_.entry); }
  // The step writes this page (so it must be in HBM, and nowhere else).
  bool writes() const { return !cursor_.tail_source && cursor_.position >= entry().write_first; }
  bool is_tail_source() const { return cursor_.tail_source; }

 private:
  void Settle();         // Goes on to the next page that exists, from where the cursor is.
  bool SettleInEntry();  // False: the entry has no page left.
  void Seek(uint32_t position);

  const CoreState& state_;
  PageCursor cursor_;
  SequenceTable::Walk walk_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_STEP_PAGES_H_
