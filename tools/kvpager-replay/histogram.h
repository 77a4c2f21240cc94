// tools/kvpager-replay/histogram.h
//
// Counts of values by size, for percentiles: 64 buckets per power of two, so that a reported value
// is at most 1.6 % above the true one; the largest is exact.
//
// Units: the caller's. Complexity: constant memory, one increment per value.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_HISTOGRAM_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace kvpager::replay {

class Histogram {
 public:
  void Add(uint64_t value) {
    ++counts_[BucketOf(value)];
    ++count_;
    sum_ += value;
    max_ = std::max(max_, value);
  }

  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }
  uint64_t max() const { return max_; }

  // The smallest value that at least `share` of all values do not exceed. 0 if there are none.
  uint64_t Percentile(double share) const {
    const auto rank = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count_)));
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      seen += counts_[bucket];
      if (seen >= rank && seen > 0) return std::min(max_, LargestOf(bucket));
    }
    return max_;
  }

 private:
  static constexpr int kSubBits = 6;
  static constexpr uint64_t kSub = uint64_t{1} << kSubBits;

  static size_t BucketOf(uint64_t value) {
    if (value < kSub) return value;
    const int shift = 63 - std::countl_zero(value) - kSubBits;
    return (static_cast<size_t>(shift) + 1) * kSub + ((value >> shift) - kSub);
  }
  static uint64_t LargestOf(size_t bucket) {
    if (bucket < kSub) return bucket;
    const size_t shift = bucket / kSub - 1;
    return ((bucket % kSub + kSub + 1) << shift) - 1;
  }

  std::array<uint64_t, (64 - kSubBits + 1) * kSub> counts_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_HISTOGRAM_H_
