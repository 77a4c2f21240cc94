// tiers/catalogue/catalogue.h
//
// Which block lives where on NVMe: what makes a restart fast and a durable name durable. It is a
// hint. The frame headers are the truth, so a lost or late entry costs a miss, never a wrong hit.
//
//   hint     a CatalogueWrite without an op: queued; dropped and counted when the queue is full
//   durable  a CatalogueWrite with an op: the data file is flushed, the entry is committed with
//            sync, then the op completes through Poll. Several share one flush and one commit.
//
// Entries are applied in the order of Submit. An entry once written durably stays marked durable
// until its key is deleted or written with another stamp.
//
// A catalogue remembers whether its last owner closed it: if not, it may be behind the headers.
//
// Ownership: the flusher belongs to the caller and outlives the catalogue. Thread-safety: calls
// from one thread. Errors: a durable write that failed is kFailed; hints only count.

#ifndef KVPAGER_TIERS_CATALOGUE_CATALOGUE_H_
#define KVPAGER_TIERS_CATALOGUE_CATALOGUE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/effect.h"
#include "tiers/data_flusher.h"

namespace kvpager {

// Field for field what the core restores.
struct CatalogueEntry {
  BlockKey key;
  BlockKey parent_key;
  FrameIndex frame_first;
  Stamp stamp;
  uint64_t last_use = 0;
  bool durable = false;

  friend bool operator==(const CatalogueEntry&, const CatalogueEntry&) = default;
};

struct CatalogueStats {
  uint64_t entries_written = 0;  // Puts and deletes, hints and durable.
  uint64_t hints_dropped = 0;    // The queue was full.
  uint64_t writes_failed = 0;    // Entries whose commit or flush failed.
  uint64_t commits_durable = 0;  // Flush and sync; each may carry many entries.
};

class Catalogue {
 public:
  virtual ~Catalogue() = default;  // Finishes what was submitted; does not mark it clean.

  // What was found at open.
  virtual bool was_clean() const = 0;  // False for a new one.
  virtual bool created() const = 0;
  virtual std::string_view detail() const = 0;  // A sentence for the log, if anything was odd.

  // Calls `visit` for every entry, in the order of keys. Before the first Submit. kDataLoss: some
  // could not be read, detail() says why; the catalogue is an empty new one now, not clean.
  virtual absl::Status ForEach(absl::FunctionRef<void(const CatalogueEntry&)> visit) = 0;

  // Queues writes, in order. Never blocks.
  virtual void Submit(absl::Span<const CatalogueWrite> writes) = 0;

  // Completions of durable writes.
  virtual size_t Poll(absl::Span<Completion> out) = 0;
  virtual int ready_fd()
      const = 0;  // Readable when Poll may return something; -1 if there is none.
  virtual bool wants_poll() const = 0;  // Poll has something although ready_fd is silent.

  // Waits until everything submitted is written, then records a clean close. Nothing may be
  // submitted afterwards; completions can still be polled.
  virtual absl::Status CloseClean() = 0;

  virtual CatalogueStats stats() const = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_CATALOGUE_CATALOGUE_H_
