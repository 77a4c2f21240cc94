// tools/kvpager-bench/executor_traffic.h
//
// NvmeTraffic through NvmeExecutor, driven as the daemon's loop drives it: Submit, sleep until
// ready_fd is readable, Poll. As there, the executor has more to do than the device may have at
// once: twice as many operations, so latencies contain the wait for the device's turn. Every page
// that is read or written is verified.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_EXECUTOR_TRAFFIC_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_EXECUTOR_TRAFFIC_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memmgr/core/effect.h"
#include "tiers/nvme/nvme_executor.h"
#include "tools/kvpager-bench/nvme_traffic.h"

namespace kvpager::bench {

class ExecutorTraffic final : public NvmeTraffic {
 public:
  // Uses the arena's first kBacklog * depth frames, which must hold pages that have a host part
  // with kPage, and the file's frames [0, frames). The executor outlives it.
  static constexpr PageIndex kPage{7};
  static constexpr uint32_t kBacklog = 2;
  ExecutorTraffic(NvmeExecutor* executor, uint32_t frames, const NvmeCase& one);

  // Writes every frame once.
  absl::Status Prime(uint32_t frames);
  absl::StatusOr<NvmeSlice> Run(uint64_t slice_ns) override;

 private:
  CopyOp Copy(uint32_t slot, const NvmeTurns::Turn& turn) const;
  void Start(uint32_t slot, const NvmeTurns::Turn& turn);
  absl::Status Reap(std::vector<uint32_t>& ended);

  NvmeExecutor* executor_;
  NvmeTurns turns_;
  uint32_t slots_;
  uint64_t frame_bytes_;
  std::vector<uint64_t> begin_ns_;  // [slots]
  std::vector<CopyOp> batch_;
};

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_EXECUTOR_TRAFFIC_H_
