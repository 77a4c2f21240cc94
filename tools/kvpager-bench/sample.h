// tools/kvpager-bench/sample.h
//
// Samples of a duration, taken in turns with those of its limit so that both see the same noise.
//
// Units: nanoseconds. Thread-safety: none.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_SAMPLE_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_SAMPLE_H_

#include <cstdint>
#include <vector>

namespace kvpager::bench {

class Samples {
 public:
  void Add(double ns) { values_.push_back(ns); }
  uint64_t count() const { return values_.size(); }
  // 0 if there are none.
  double Median() const { return Quantile(0.5); }
  double Quantile(double share) const;

 private:
  std::vector<double> values_;
};

// Runs `once` as often as fits about `slice_ns`, and adds the mean of one run. `runs` remembers how
// often that is; start with 1.
template <typename Function>
void TimeSlice(uint64_t slice_ns, uint64_t& runs, Samples& samples, const Function& once);

// Makes a read of anything old miss every cache of this core: writes 64 MiB.
void ColdCaches();

}  // namespace kvpager::bench

#include "tools/support/clock.h"

namespace kvpager::bench {

template <typename Function>
void TimeSlice(uint64_t slice_ns, uint64_t& runs, Samples& samples, const Function& once) {
  const uint64_t begin_ns = tools::NowNs();
  for (uint64_t i = 0; i < runs; ++i) once();
  const uint64_t took_ns = tools::NowNs() - begin_ns;
  samples.Add(static_cast<double>(took_ns) / static_cast<double>(runs));
  if (took_ns < slice_ns / 2) runs *= 2;
  if (took_ns > slice_ns * 2 && runs > 1) runs /= 2;
}

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_SAMPLE_H_
