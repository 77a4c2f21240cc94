// tools/kvpager-bench/control.h
//
// The control path: what it costs to use pages, not to move them.
//
//   resident   steps whose pages are all in HBM: no message
//   fault      steps with a page in host memory: a message each way, and a copy
//   rate       requests per second with 1, 8 and 64 engines
//   core       the core alone, with no I/O and no messages
//
// Each function measures one part against the daemon at `socket` and adds its figures.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_CONTROL_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_CONTROL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/kvpager-bench/figure.h"
#include "tools/kvpager-bench/flags.h"

namespace kvpager::bench {

inline constexpr uint32_t kSpinUs = 200;  // Of either side, where spinning is measured.

struct Bench {
  const Options& options;
  std::string socket;
  std::vector<Figure>& figures;
};

// Runs the parts that options.only names, each with a daemon of its own.
absl::Status MeasureControl(const Options& options, std::vector<Figure>& figures);

absl::Status MeasureResidentSteps(const Bench& bench);
absl::Status MeasureFaultsOf4KiB(const Bench& bench);
absl::Status MeasureFaultsOf64KiB(const Bench& bench);
absl::Status MeasureFaultsSpinning(const Bench& bench);
absl::Status MeasureRequestRate(const Bench& bench);
absl::Status MeasureCore(const Bench& bench);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_CONTROL_H_
