// tools/kvpager-bench/nvme_traffic.h
//
// A closed loop of reads and writes of frames, as many at once as the case says, for a slice of
// time: what our executor and a bare ring are both put through.
//
// Units: nanoseconds, bytes; a frame is payload and header. Thread-safety: one thread.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_NVME_TRAFFIC_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_NVME_TRAFFIC_H_

#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "absl/status/statusor.h"
#include "memmgr/base/ids.h"
#include "tools/kvpager-bench/sample.h"
#include "tools/support/clock.h"

namespace kvpager::bench {

struct NvmeCase {
  uint32_t read_percent = 100;
  uint64_t page_bytes = 0;  // Payload.
  uint32_t depth = 1;
};

// What one slice did.
struct NvmeSlice {
  uint64_t bytes = 0;
  uint64_t ns = 0;
  uint64_t cpu_ns = 0;  // Of the whole process, user and system.
  uint64_t system_calls = 0;

  double rate() const { return static_cast<double>(bytes) / static_cast<double>(ns); }
};

// Which frames, in which order: those from `first` on, each once before any comes again, so that no
// two operations in flight meet. REQUIRES: more frames than the depth.
class NvmeTurns {
 public:
  struct Turn {
    FrameIndex frame;
    bool is_read = true;
  };

  NvmeTurns(uint32_t first, uint32_t frames, uint32_t read_percent)
      : read_percent_(read_percent), order_(frames) {
    std::iota(order_.begin(), order_.end(), first);
    std::shuffle(order_.begin(), order_.end(), random_);
  }

  Turn Next() {
    const Turn turn = {FrameIndex{order_[at_]}, random_() % 100 < read_percent_};
    at_ = (at_ + 1) % order_.size();
    return turn;
  }

 private:
  std::minstd_rand random_{20261123};  // Any; the same for both.
  uint32_t read_percent_;
  std::vector<uint32_t> order_;
  size_t at_ = 0;
};

inline uint64_t ProcessCpuNs() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto ns = [](const struct timeval& time) {
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000u +
           static_cast<uint64_t>(time.tv_usec) * 1'000u;
  };
  return ns(usage.ru_utime) + ns(usage.ru_stime);
}

class NvmeTraffic {
 public:
  virtual ~NvmeTraffic() = default;

  // Runs for about `slice_ns` and until what it has started has ended. Errors: an operation that
  // failed, or wrong bytes.
  virtual absl::StatusOr<NvmeSlice> Run(uint64_t slice_ns) = 0;

  // From start to end, of all slices.
  const Samples& latency_ns() const { return latency_ns_; }

 protected:
  Samples latency_ns_;
};

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_NVME_TRAFFIC_H_
