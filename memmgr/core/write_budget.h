// memmgr/core/write_budget.h
//
// How many blocks may be written to NVMe in a day, so that the drive lasts. The budget runs like a
// bucket that time fills and writes empty (the generic cell rate algorithm, ITU-T I.371): a block
// costs the time in which the budget earns one, and an hour's worth may be saved up. While the
// bucket is half full the usual touches make a cached block worth a write; with each further
// halving it takes one more, and when almost nothing is left no block is worth one. So the most
// used blocks get what there is, whatever the load.
//
// What has to be written is written: blocks of open sequences when host memory has no room for
// them, and durable names. They are charged too, and may leave a debt of at most a day. Blocks that
// were found worth a write and still wait in memory for it are written even if the bucket has run
// empty since: a day's writes exceed the budget by at most what host memory holds.
//
// Units: blocks, nanoseconds. Thread-safety: none. Complexity: O(1).

#ifndef KVPAGER_MEMMGR_CORE_WRITE_BUDGET_H_
#define KVPAGER_MEMMGR_CORE_WRITE_BUDGET_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/effect.h"

namespace kvpager {

class WriteBudget {
 public:
  static constexpr uint32_t kNeverWorthIt = 256;  // More touches than are counted.

  explicit WriteBudget(uint32_t blocks_per_day);  // 0: no limit.

  void Advance(Instant now);  // `now` never goes back.
  void Charge();              // A block is going to be written.
  // Touches that make a cached block worth a write, where `usual` would without a budget.
  uint32_t TouchesWanted(uint32_t usual) const;

  bool limited() const { return cost_ns_ > 0; }
  // That could be written now; 0 while there is a debt, and without a limit.
  uint64_t blocks_left() const;

 private:
  const int64_t cost_ns_;  // Of a block; 0: no limit.
  int64_t level_ns_;
  Instant advanced_to_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_WRITE_BUDGET_H_
