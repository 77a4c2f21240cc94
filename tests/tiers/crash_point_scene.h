// tests/tiers/crash_point_scene.h
//
// What crash_point_test.cc and the little daemon it kills have in common: one page file, one
// catalogue and one block in it.

#ifndef KVPAGER_TESTS_TIERS_CRASH_POINT_SCENE_H_
#define KVPAGER_TESTS_TIERS_CRASH_POINT_SCENE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "memmgr/core/effect.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/catalogue/rocksdb_catalogue.h"
#include "tiers/host/host_arena.h"
#include "tiers/nvme/nvme_executor.h"
#include "tiers/nvme/page_file.h"

namespace kvpager::testing {

inline constexpr BlockKey kKey{{1, 2}};
inline constexpr Stamp kStamp{.incarnation = 7, .counter = 1};

struct Tiers {
  explicit Tiers(const std::string& folder, uint64_t incarnation) {
    auto opened = PageFile::Open({.path = folder + "/pages",
                                  .geometry = geometry,
                                  .model_fingerprint = "m",
                                  .frames = 16,
                                  .incarnation = incarnation,
                                  .lock_wait_ms = 60'000});
    if (!opened.ok()) {
      status = opened.status();
      return;
    }
    file = *std::move(opened);
    auto listed = OpenRocksdbCatalogue({.path = folder + "/catalogue",
                                        .geometry = geometry,
                                        .model_fingerprint = "m",
                                        .flusher = file.get()});
    if (!listed.ok()) {
      status = listed.status();
      return;
    }
    catalogue = *std::move(listed);
    arena = *HostArena::Create({.geometry = geometry, .frames = 8});
    executor = *NvmeExecutor::Create({.arena = arena.get(), .file = file.get()});
  }

  CopyOp Copy(Channel channel, uint32_t host, uint32_t nvme, uint32_t group) const {
    const bool read = channel == Channel::kNvmeToHost;
    return {.op = {.slot = group},
            .channel = channel,
            .source = FrameIndex{read ? nvme : host},
            .target = FrameIndex{read ? host : nvme},
            .page = PageIndex{group},
            .key = kKey,
            .stamp = kStamp,
            .group = group};
  }

  Geometry geometry = SmallGeometry();
  absl::Status status;
  std::unique_ptr<PageFile> file;
  std::unique_ptr<Catalogue> catalogue;
  std::unique_ptr<HostArena> arena;
  std::unique_ptr<NvmeExecutor> executor;
};

}  // namespace kvpager::testing

#endif  // KVPAGER_TESTS_TIERS_CRASH_POINT_SCENE_H_
