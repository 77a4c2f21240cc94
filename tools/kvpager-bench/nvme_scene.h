// tools/kvpager-bench/nvme_scene.h
//
// The file, the buffers and the executor of one size of page. The first half of the file is the
// executor's, the other the bare loops'.
//
// Ownership: all of it; the file has no name any more, so nothing is left behind. Thread-safety:
// one thread. Errors: those of the arena, the file and the executor.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_NVME_SCENE_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_NVME_SCENE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memmgr/base/geometry.h"
#include "tiers/host/host_arena.h"
#include "tiers/nvme/nvme_executor.h"
#include "tiers/nvme/page_file.h"
#include "tiers/nvme/page_sealer.h"
#include "tools/kvpager-bench/flags.h"

namespace kvpager::bench {

class NvmeScene {
 public:
  // `buffers`: frames of the arena, each holding a page with a host part. `depth`: of the executor.
  static absl::StatusOr<std::unique_ptr<NvmeScene>> Make(const Options& options,
                                                         uint64_t page_bytes, uint32_t depth,
                                                         uint32_t buffers);

  HostArena* arena() { return arena_.get(); }
  PageFile* file() { return file_.get(); }
  NvmeExecutor* executor() { return executor_.get(); }
  uint32_t half() const { return half_; }

 private:
  absl::Status MakeArena(const Geometry& geometry, uint32_t frames);

  std::unique_ptr<HostArena> arena_;
  std::unique_ptr<PageFile> file_;
  PageSealer sealer_;  // Used with --encrypt.
  std::unique_ptr<NvmeExecutor> executor_;
  uint32_t half_ = 0;
};

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_NVME_SCENE_H_
