// memmgr/daemon/pool_restore.h
//
// What is on NVMe after a start, out of the two that know: the catalogue, which is fast, and the
// headers of the frames, which are the truth.
//
// Thread-safety: before the loop runs. Complexity: O(n log n) in the blocks found.

#ifndef KVPAGER_MEMMGR_DAEMON_POOL_RESTORE_H_
#define KVPAGER_MEMMGR_DAEMON_POOL_RESTORE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "memmgr/core/core.h"
#include "memmgr/core/effect.h"
#include "tiers/catalogue/catalogue.h"
#include "tiers/nvme/scan.h"

namespace kvpager {

struct RestorePlan {
  std::vector<RestoredBlock> blocks;    // Oldest last use first.
  std::vector<CatalogueWrite> repairs;  // What makes the catalogue agree with them.
  uint64_t durable_lost = 0;            // Blocks that were promised, and that no headers have.
};

// After a clean stop: the entries as they are.
RestorePlan TrustCatalogue(absl::Span<const CatalogueEntry> entries);

// After any other: the blocks of the scan, oldest stamp first. Where an entry agrees with key,
// place and stamp, its last use and durability count; a block without one was written last, before
// the stop, and counts as used after all others.
RestorePlan TrustHeaders(absl::Span<const CatalogueEntry> entries,
                         absl::Span<const ScannedBlock> scanned);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_POOL_RESTORE_H_
