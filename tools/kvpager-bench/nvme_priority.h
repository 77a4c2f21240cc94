// tools/kvpager-bench/nvme_priority.h
//
// How much longer a promotion takes while demotions wait: reads of pages, a few at once, through
// the executor of the NVMe tier, alone and with its queue of writes kept full, in turns of a tenth
// of a second; and what the writes still move, beside writes alone.
//
//   one round   reads  both  writes  both  reads

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_NVME_PRIORITY_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_NVME_PRIORITY_H_

#include <vector>

#include "absl/status/status.h"
#include "tools/kvpager-bench/figure.h"
#include "tools/kvpager-bench/flags.h"

namespace kvpager::bench {

// The part "promotion" of MeasureNvme.
absl::Status MeasurePromotions(const Options& options, std::vector<Figure>& figures);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_NVME_PRIORITY_H_
