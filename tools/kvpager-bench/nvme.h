// tools/kvpager-bench/nvme.h
//
// The executor of the NVMe tier beside a bare io_uring loop: the same file, the same kind of
// buffers, the same number of operations at once, in turns of a tenth of a second. The bare loop is
// measured against itself too, by the same turns: where that is not within 2 %, the machine was too
// restless for the case to mean anything, and it says so.
//
//   one round   ours  bare  bare'  bare'  bare  ours
//
// Bytes are those on the device: payload and header. Our side checks and makes CRC32Cs, the bare
// loop looks at nothing.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_NVME_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_NVME_H_

#include <vector>

#include "absl/status/status.h"
#include "tools/kvpager-bench/figure.h"
#include "tools/kvpager-bench/flags.h"

namespace kvpager::bench {

// Makes a file of about options.nvme_bytes in options.nvme_folder, and removes it again.
absl::Status MeasureNvme(const Options& options, std::vector<Figure>& figures);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_NVME_H_
