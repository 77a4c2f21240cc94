// memmgr/core/read_ahead.h
//
// Steps collect one at a time (R1), and near the end of each the disk would have less and less to
// do. So while the collecting step only waits, the steps behind it have their pages read into host
// memory, out of free stock, as a prefetch would.
//
// What was read ahead is guarded until its step collects: victims.h does not name it, else the
// coldest, which it often is, would go again before it is used. Guards are few, the oldest is
// lifted for a new one, and all are when nobody waits or a step is stuck: they are no promise.
//
// Thread-safety: none. No allocation after construction.

#ifndef KVPAGER_MEMMGR_CORE_READ_AHEAD_H_
#define KVPAGER_MEMMGR_CORE_READ_AHEAD_H_

#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"

namespace kvpager {

struct CoreState;

inline constexpr uint32_t kGuardsMax = 4096;  // And a quarter of host memory.

// Pages with Page::guarded set, oldest first.
class Guards {
 public:
  explicit Guards(uint32_t guards_max) : pages_(guards_max) {}

  bool empty() const { return count_ == 0; }
  uint32_t count() const { return count_; }
  bool full() const { return count_ == pages_.size(); }
  void Push(PageIndex page);  // REQUIRES: not full.
  PageIndex Pop();            // The oldest. REQUIRES: not empty.

 private:
  std::vector<PageIndex> pages_;
  uint32_t first_ = 0;
  uint32_t count_ = 0;
};

// Starts reads for steps that wait behind the collecting one. O(pages looked at), bounded per
// input.
void ReadAhead(CoreState& state);

void LiftGuards(CoreState& state);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_READ_AHEAD_H_
