#include "tools/kvpager-bench/cache_miss.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <random>
#include <vector>

#include "tools/support/clock.h"

namespace kvpager::bench {
namespace {

constexpr size_t kLines = 1024;  // Of 64 bytes: as much as code and data of a library.
constexpr size_t kVisited = 64;

struct alignas(64) Line {
  const Line* volatile next = nullptr;
};

// A ring through lines drawn at random, so that nothing can be fetched ahead.
const Line* MakeRing(std::array<Line, kLines>& lines) {
  std::vector<size_t> order(kLines);
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (size_t i = 0; i < kVisited; ++i) {
    lines[order[i]].next = &lines[order[(i + 1) % kVisited]];
  }
  return &lines[order[0]];
}

}  // namespace

Samples MeasureCacheMiss(uint32_t count) {
  static std::array<Line, kLines> lines;
  const Line* at = MakeRing(lines);
  Samples samples;
  for (uint32_t i = 0; i < count; ++i) {
    ColdCaches();
    const uint64_t begin_ns = tools::NowNs();
    for (size_t visit = 0; visit < kVisited; ++visit) at = at->next;
    samples.Add(static_cast<double>(tools::NowNs() - begin_ns) / double{kVisited});
  }
  return samples;
}

}  // namespace kvpager::bench
