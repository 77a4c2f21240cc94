// ipc/page_table_writer.h
//
// The daemon's side of the shared page table: its only writer.
//
// Ownership: keeps the region. Thread-safety: one thread. Errors: Create only; afterwards a page
// out of range is a programmer error.

#ifndef KVPAGER_IPC_PAGE_TABLE_WRITER_H_
#define KVPAGER_IPC_PAGE_TABLE_WRITER_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "ipc/page_table_layout.h"
#include "ipc/shm_region.h"
#include "memmgr/base/ids.h"

namespace kvpager {

class PageTableWriter {
 public:
  // A fresh memfd, sealed: nobody else can ever map it writable. State kStarting.
  static absl::StatusOr<PageTableWriter> Create(uint32_t blocks_max, uint32_t num_groups,
                                                uint64_t incarnation);

  PageTableWriter(PageTableWriter&&) = default;
  PageTableWriter& operator=(PageTableWriter&&) = default;

  // Stores the word of `page`, seq_cst. If the word so far said something that the new one does not
  // (a frame, or the generation of a valid word), raises the withdrawal counter behind it. A frame
  // that the new word no longer names may be reused for steps that begin after this call returned.
  void Write(PageIndex page, const PageTableWord& word_new);

  void SetState(PageTableState state);
  void Heartbeat(uint64_t monotonic_ns);

  // For the handshake: region "page_table", read-only.
  int fd() const { return region_.fd(); }
  uint64_t bytes() const { return region_.bytes(); }

  PageTableWord Read(PageIndex page) const;
  uint64_t withdrawals(PageIndex page) const;

 private:
  explicit PageTableWriter(ShmRegion region) : region_(std::move(region)) {}
  PageTableHeader& header() const;
  std::atomic<uint64_t>& word(PageIndex page) const;
  std::atomic<uint64_t>& withdrawal(PageIndex page) const;

  ShmRegion region_;
  PageTableLayout layout_;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_PAGE_TABLE_WRITER_H_
