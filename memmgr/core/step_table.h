// memmgr/core/step_table.h
//
// StepTable: the forward passes that are asked for or running, and the order in which they wait.
//
//            begin                          all pages pinned            end
//   free -----------> waiting -> collecting ----------------> ready ---------> ending -> free
//                        \           /                                (unpinning, R10)
//                         `-cancelled, failed-> free
//
// At most one step collects (R1); a waiting step that needs no frame goes to ready directly. Steps
// of one client leave `waiting` in the order of begin.
//
// Thread-safety: none. No allocation after construction.

#ifndef KVPAGER_MEMMGR_CORE_STEP_TABLE_H_
#define KVPAGER_MEMMGR_CORE_STEP_TABLE_H_

#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "memmgr/core/effect.h"
#include "memmgr/core/limits.h"

namespace kvpager {

inline constexpr uint32_t kNoSlot = ~uint32_t{0};

enum class StepPhase : uint8_t { kFree, kWaiting, kCollecting, kReady, kEnding };

// A place in the pages of a step: entries in order; in each first the block that its tail is copied
// from, if any, then block by block, group by group.
struct PageCursor {
  uint32_t entry = kNoSlot;
  bool tail_source = false;
  uint32_t position = 0;
  uint32_t group = 0;
};

struct EntryState {
  SequenceId sequence;
  PageRange range;
  uint32_t append_tokens = 0;
  bool draft = false;
  uint64_t rewrite_from_tokens = ~uint64_t{0};
  uint32_t losses = 0;  // Sequence::losses at begin: differs if it was cut since.
  // Set when the step is admitted (starts to collect):
  uint64_t length_before_tokens = 0;
  uint64_t length_after_tokens = 0;
  uint32_t blocks_before = 0;
  uint32_t write_first = kNoSlot;  // Blocks at and after this position are written; none: all ones.
  BlockIndex tail_source;          // The shared or sealed tail that was copied; referenced.
  BlockIndex tail_target;          // The open block that replaced it.
  uint16_t tail_filled_before = 0;  // Block::filled_tokens of a tail that is appended to in place.
  uint32_t next = kNoSlot;          // Next entry of the step, or of the free list.
};

struct Step {
  StepPhase phase = StepPhase::kFree;
  ClientId client;
  Ticket ticket;
  uint64_t request = 0;
  Residency residency = Residency::kResident;
  uint32_t entry_first = kNoSlot;
  uint32_t entries = 0;
  uint64_t age = 0;               // CoreState::order at begin: older first.
  uint32_t next = kNoSlot;        // Younger unready step of the same client.
  uint32_t split_slot = kNoSlot;  // Its bitmap of pages pinned in host memory.
  bool admitted = false;          // Blocks for its new tokens are in place.
  bool claimed = false;           // Every page is pinned or claimed.
  PageCursor claim_cursor;        // The first page that is neither pinned nor claimed yet.
  PageCursor cursor;              // The first page that may still be missing; then, unpinning.
  uint32_t missing = 0;           // Claims not satisfied yet.
  uint32_t failures = 0;          // Copies for it that failed.
  uint32_t collected_pages = 0;   // Frames it took: what its namespace is charged (R1).
  bool passed_over = false;       // Tried once without collecting; now it waits its turn.
  bool wants_room = false;        // The last try found no frame.
  bool host_page_waits = false;   // ... in HBM, for a page that is in host memory (R2).
  uint32_t farther_tries = 0;     // For room from further away (collector.h) ...
  uint32_t farther_missing = 0;   // ... while so many pages were missing.
  bool waited_for_room = false;
  bool short_of_host = false;  // The last try found no frame in host memory ...
  bool short_of_hbm = false;   // ... or none in HBM.
  // It waits, without collecting, for its own namespace to let go of something (quota_stuck.h).
  bool parked = false;
  bool was_parked = false;     // First of its class when it has woken.
  bool parked_on_all = false;  // ... or for anybody.
  uint64_t parked_freed = 0;   // Charges::freed when it was parked.
  uint64_t parked_input = 0;   // ... and the input: it wakes in a later one.
  // How far its pages were read ahead (read_ahead.h): of this entry, up to this block.
  uint32_t ahead_entry = kNoSlot;
  uint32_t ahead_position = 0;
  bool ahead_done = false;
  uint64_t began_input = 0;  // Number of the input that asked for it.
  Instant began;
  Instant accounted;  // Until when `wait` has been charged.
  StepWait wait;
};

class StepTable {
 public:
  explicit StepTable(const Limits& limits);

  // none if all slots, or all entry slots, are taken.
  uint32_t Allocate(uint32_t entries);
  void Free(uint32_t slot);

  Step& step(uint32_t slot) { return steps_[slot]; }
  const Step& step(uint32_t slot) const { return steps_[slot]; }
  EntryState& entry(uint32_t slot) { return entries_[slot]; }
  const EntryState& entry(uint32_t slot) const { return entries_[slot]; }
  uint32_t slots() const { return static_cast<uint32_t>(steps_.size()); }
  uint32_t open_count() const { return open_count_; }
  uint32_t entries_free() const { return entries_free_count_; }

  // The step of a client with this ticket; kNoSlot if there is none.
  uint32_t Find(ClientId client, Ticket ticket) const;

 private:
  std::vector<Step> steps_;
  std::vector<uint32_t> slots_free_;
  std::vector<EntryState> entries_;
  uint32_t entry_free_ = kNoSlot;
  uint32_t entries_free_count_ = 0;
  uint32_t open_count_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_STEP_TABLE_H_
