// memmgr/core/credits.h
//
// Credits: empty blocks that engines are given ahead of time, so that a sequence grows without a
// message (docs/SHARED_PAGE_TABLE.md). A sequence has at most one, which is to come behind its
// tail; it is no part of the sequence until its engine says that it has rows in it.
//
//   none -> wanted -> placing -> granted -> (the sequence's)
//                                 |    ^
//                               asked  | undone
//                               |   |  |
//                               |   taken -> (the sequence's)
//                               +-> none
//
//   wanted   waits for room: only what is free beyond the low mark is given away. Who lacks room in
//            its namespace alone lets the others go before it
//   placing  has its block; frames are being scrubbed
//   granted  the engine may take it, at any time, by compare-and-swap on a word of shared memory
//   asked    the daemon is about to take it back, by compare-and-swap on the same word
//   taken    the engine was faster; it will say so
//
// Placing and granted ones go back, the oldest first, as soon as a step waits for a frame, and one
// at a time when all that may be given are given and the oldest has been idle for kCreditIdleNs.
//
// Thread-safety: none. No allocation after construction. O(1), but for RevokeCredits: O(blocks
// asked for).

#ifndef KVPAGER_MEMMGR_CORE_CREDITS_H_
#define KVPAGER_MEMMGR_CORE_CREDITS_H_

#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"
#include "memmgr/core/limits.h"

namespace kvpager {

struct CoreState;
struct Sequence;

inline constexpr uint64_t kCreditIdleNs = 1'000'000'000;
inline constexpr uint32_t kCreditSlots = 4096;  // Sequences in slots behind these get none.

enum class CreditState : uint8_t { kNone, kWanted, kPlacing, kGranted, kAsked, kTaken };

struct Credit {
  CreditState state = CreditState::kNone;
  BlockIndex block;  // From placing on; referred to once.
  Instant granted;
};

// By slot of the sequence.
class CreditTable {
 public:
  explicit CreditTable(const Limits& limits);

  const Credit& of(SequenceId id) const { return rows_[SlotOf(id)].credit; }
  const Credit& at_slot(uint32_t slot) const { return rows_[slot].credit; }
  uint32_t blocks() const { return blocks_; }  // That are lent, or about to be.
  uint32_t asked() const { return asked_; }    // Whose answer is to come.

  void Set(SequenceId id, const Credit& credit);

  // Those in a state that has a line, in the order in which they came to it. None: nobody.
  SequenceId first_wanted() const { return wanted_.first; }
  SequenceId first_placing() const { return placing_.first; }
  SequenceId first_granted() const { return granted_.first; }
  uint32_t wanted() const { return wanted_.count; }
  uint32_t placing() const { return placing_.count; }

 private:
  struct Row {
    Credit credit;
    SequenceId next;
    SequenceId previous;
  };
  struct List {
    SequenceId first;
    SequenceId last;
    uint32_t count = 0;
  };

  static uint32_t SlotOf(SequenceId id) { return static_cast<uint32_t>(id.value); }
  List* ListOf(CreditState state);
  void Append(List& list, SequenceId id);
  void Remove(List& list, SequenceId id);

  std::vector<Row> rows_;
  List wanted_;
  List placing_;
  List granted_;
  uint32_t blocks_ = 0;
  uint32_t asked_ = 0;
};

// The sequence has grown and may grow again: it gets a credit when there is room. Nothing happens
// if it has one, or its engine runs no steps without a message.
void WantCredit(CoreState& state, SequenceId id);

// Gives credits to those who wait, as far as there is room.
void GrantCredits(CoreState& state);

// Takes back what is being placed, then asks for up to `blocks` granted ones. True if there was
// any.
bool RevokeCredits(CoreState& state, uint32_t blocks);

// What came of asking: the daemon was faster, or the engine.
void AnswerCredit(CoreState& state, SequenceId id, bool taken);

// The sequence has no further use for it; its engine is not about to take it.
void DropCredit(CoreState& state, SequenceId id);

// The engine has taken it and put rows into it: it is the sequence's next block. False: there was
// none.
bool UseCredit(CoreState& state, SequenceId id);

// The engine has undone what it took it for.
void UndoCredit(CoreState& state, SequenceId id);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_CREDITS_H_
