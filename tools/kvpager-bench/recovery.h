// tools/kvpager-bench/recovery.h
//
// How long a large NVMe tier takes to come back. An engine names blocks of the smallest pages there
// are until the tier holds so many; the daemon is killed while it writes at full rate, started
// again, and asked for what it had: from the start of the process to the first attach answered and
// the first known prefix opened, and until all headers are read. Then the same without a
// catalogue, and after a clean stop.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_RECOVERY_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_RECOVERY_H_

#include <vector>

#include "absl/status/status.h"
#include "tools/kvpager-bench/figure.h"
#include "tools/kvpager-bench/flags.h"

namespace kvpager::bench {

// Needs 8 KiB in options.nvme_folder for each of options.recovery_blocks, and removes them again.
absl::Status MeasureRecovery(const Options& options, std::vector<Figure>& figures);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_RECOVERY_H_
