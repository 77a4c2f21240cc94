// tools/kvpager-bench/figure.h
//
// What a bench has to say: our figure, the limit that was measured in the same run, their ratio.
//
// Units: Figure::unit, the same for ours and the limit. Errors: WriteJson, the file.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_FIGURE_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_FIGURE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace kvpager::bench {

// Whether a larger figure is better decides which way the ratio is read.
enum class Better { kSmaller, kLarger };

struct Figure {
  std::string part;  // "resident", ...
  std::string name;  // What was done.
  std::string unit;
  double ours = 0;   // Median.
  double limit = 0;  // Median of the least that has to be done; 0: there is none.
  std::string limit_name;
  std::vector<std::pair<std::string, double>> also;  // More for the file, in `unit`.
  double allowed = 0;                                // What we promise, in `unit`; 0: no promise.
  Better better = Better::kSmaller;
  uint64_t samples = 0;

  double ratio() const { return limit > 0 ? ours / limit : 0; }
  bool keeps_promise() const {
    if (allowed <= 0) return true;
    return better == Better::kSmaller ? ours <= allowed : ours >= allowed;
  }
};

void PrintTable(const std::vector<Figure>& figures);
absl::Status WriteJson(const std::vector<Figure>& figures, const std::string& path);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_FIGURE_H_
