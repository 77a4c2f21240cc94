// tools/kvpager-bench/ring_traffic.h
//
// NvmeTraffic through a bare io_uring: one thread, registered file and buffers where the kernel
// grants them, nothing looked at. The limit of ExecutorTraffic.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_RING_TRAFFIC_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_RING_TRAFFIC_H_

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "tiers/host/host_arena.h"
#include "tiers/nvme/page_file.h"
#include "tools/kvpager-bench/nvme_traffic.h"

namespace kvpager::bench {

class RingTraffic final : public NvmeTraffic {
 public:
  // Uses the arena's frames [host_first, +depth) and the file's [first, +frames). Arena and file
  // outlive it. kUnavailable: io_uring is refused.
  static absl::StatusOr<std::unique_ptr<RingTraffic>> Create(HostArena* arena, PageFile* file,
                                                             uint32_t host_first, uint32_t first,
                                                             uint32_t frames, const NvmeCase& one);
  ~RingTraffic() override;

  absl::StatusOr<NvmeSlice> Run(uint64_t slice_ns) override;

 private:
  RingTraffic(HostArena* arena, PageFile* file, uint32_t host_first, uint32_t first,
              uint32_t frames, const NvmeCase& one);
  void Start(uint32_t slot);

  HostArena* arena_;
  PageFile* file_;
  uint32_t host_first_;
  NvmeTurns turns_;
  std::vector<uint64_t> begin_ns_;  // [depth]
  struct io_uring ring_ {};
  bool has_ring_ = false;
  bool file_registered_ = false;
  bool buffers_registered_ = false;
};

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_RING_TRAFFIC_H_
