#include "tools/kvpager-bench/sample.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace kvpager::bench {
namespace {

constexpr size_t kLargerThanCaches = size_t{64} << 20;
constexpr size_t kCacheLine = 64;

}  // namespace

double Samples::Quantile(double share) const {
  if (values_.empty()) return 0;
  std::vector<double> sorted = values_;
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  const size_t index = std::min(sorted.size() - 1, rank == 0 ? 0 : rank - 1);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(index),
                   sorted.end());
  return sorted[index];
}

void ColdCaches() {
  static std::vector<uint8_t> junk(kLargerThanCaches);
  static uint8_t value = 0;
  ++value;
  for (size_t i = 0; i < junk.size(); i += kCacheLine) {
    *static_cast<volatile uint8_t*>(&junk[i]) = value;
  }
}

}  // namespace kvpager::bench
