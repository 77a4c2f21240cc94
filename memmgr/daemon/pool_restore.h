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

namespace kvpager {

struct RestorePlan {
  std::vector<RestoredBlock> blocks;    // Oldest last use first.
  std::vector<CatalogueWrite> repairs;  // What makes the catalogue agree with them.
  uint64_t durable_lost = 0;            // Blocks that were promised, and whose place another has.
};

// After a clean stop: the entries as they are.
RestorePlan TrustCatalogue(absl::Span<const CatalogueEntry> entries);

// After any other: the entries too, for now; the headers, read while the daemon serves, then say
// which are right (reconciler.h). Of several in one place the newest stays: see IsNewer.
RestorePlan TrustHints(absl::Span<const CatalogueEntry> entries, uint64_t incarnation_newest);

// Of two stamps: one of the incarnation that opened the file last is newer than any other, then
// the larger counter, then the larger incarnation, which is arbitrary but fixed.
bool IsNewer(const Stamp& a, const Stamp& b, uint64_t incarnation_newest);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_POOL_RESTORE_H_
