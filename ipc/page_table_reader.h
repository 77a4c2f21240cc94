// ipc/page_table_reader.h
//
// The engine's side of the shared page table.
//
// What it reads can change at any moment, except the words of pages that a pinned step of this
// engine holds. It trusts nothing that it reads to be in range: a nonsense header is refused at
// Create, a block out of range never matches.
//
// Ownership: keeps the region. Thread-safety: const calls from any thread. Errors: Create only.

#ifndef KVPAGER_IPC_PAGE_TABLE_READER_H_
#define KVPAGER_IPC_PAGE_TABLE_READER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/page_table_layout.h"
#include "ipc/shm_region.h"
#include "memmgr/base/check.h"
#include "memmgr/base/ids.h"

namespace kvpager {

class PageTableReader {
 public:
  // Of a region that was mapped from the daemon's descriptor. kInvalidArgument if its header is not
  // that of a page table; kUnimplemented if it is of another layout.
  static absl::StatusOr<PageTableReader> Create(ShmRegion region);

  PageTableReader(PageTableReader&&) = default;
  PageTableReader& operator=(PageTableReader&&) = default;

  uint32_t blocks_max() const { return blocks_max_; }
  uint32_t num_groups() const { return num_groups_; }
  uint64_t incarnation() const { return incarnation_; }
  PageTableState state() const;
  uint64_t heartbeat_ns() const;

  // The word of a page. REQUIRES: group < num_groups(), block < blocks_max().
  PageTableWord Read(uint32_t group, uint32_t block) const {
    KVP_CHECK_LT(group, num_groups_);
    KVP_CHECK_LT(block, blocks_max_);
    return UnpackWord(
        words_[uint64_t{group} * blocks_max_ + block].load(std::memory_order_seq_cst));
  }

  // Reads the words of all blocks of `runs` in `group`, in order, into `words`, which must have
  // room for them. Stops at the first whose generation is not its run's, or which is out of range,
  // and returns how many came before it: equal to the sum of the counts when all matched. Asks the
  // cache for words about 24 ahead.
  size_t ReadRuns(uint32_t group, absl::Span<const BlockRun> runs,
                  absl::Span<PageTableWord> words) const;

  // The withdrawal counter that covers a page, and which it is (same REQUIRES as Read).
  const std::atomic<uint64_t>& withdrawals(uint32_t group, uint32_t block) const {
    return withdrawals_[withdrawal_index(group, block)];
  }
  uint64_t withdrawals_count() const {
    return LayoutOf(blocks_max_, num_groups_).withdrawals_count;
  }
  uint64_t withdrawal_index(uint32_t group, uint32_t block) const {
    KVP_CHECK_LT(group, num_groups_);
    KVP_CHECK_LT(block, blocks_max_);
    return (uint64_t{group} * blocks_max_ + block) / kPagesPerWithdrawal;
  }

 private:
  explicit PageTableReader(ShmRegion region);
  const PageTableHeader& header() const;

  ShmRegion region_;
  const std::atomic<uint64_t>* words_ = nullptr;
  const std::atomic<uint64_t>* withdrawals_ = nullptr;
  uint32_t blocks_max_ = 0;
  uint32_t num_groups_ = 0;
  uint64_t incarnation_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_PAGE_TABLE_READER_H_
