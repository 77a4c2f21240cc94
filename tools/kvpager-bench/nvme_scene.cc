#include "tools/kvpager-bench/nvme_scene.h"

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"
#include "tiers/nvme/frame_header.h"
#include "tools/kvpager-bench/executor_traffic.h"

namespace kvpager::bench {
namespace {

// No frame comes again while it is in flight.
constexpr uint32_t kFramesPerDepth = 8;

// A page is so many layers of 64 KiB.
Geometry GeometryOf(uint64_t page_bytes) {
  const auto layers = static_cast<uint32_t>(page_bytes / (64 * kKiB));
  return {.page_tokens = 16,
          .num_layers = layers,
          .layers_per_page = layers,
          .num_kv_heads = 8,
          .head_dim_k = 128,
          .head_dim_v = 128};
}

}  // namespace

absl::StatusOr<std::unique_ptr<NvmeScene>> NvmeScene::Make(const Options& options,
                                                           uint64_t page_bytes, uint32_t depth,
                                                           uint32_t buffers) {
  auto scene = std::make_unique<NvmeScene>();
  const Geometry geometry = GeometryOf(page_bytes);
  KVP_RETURN_IF_ERROR(scene->MakeArena(geometry, buffers));
  const auto frames = static_cast<uint32_t>(options.nvme_bytes / scene->arena_->frame_bytes());
  if (frames < kFramesPerDepth * depth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--size is too small: pages of ", page_bytes, " bytes, ", depth, " at once, need ",
        kFramesPerDepth * depth * scene->arena_->frame_bytes(), " bytes"));
  }
  scene->half_ = frames / 2;
  PageFile::Options file;
  file.path = absl::StrCat(options.nvme_folder, "/kvpager-bench.", getpid());
  file.geometry = geometry;
  file.model_fingerprint = "kvpager-bench";
  file.frames = 2 * scene->half_;
  file.incarnation = 1;
  KVP_ASSIGN_OR_RETURN(scene->file_, PageFile::Open(file));
  // Nobody else needs the name; nothing is left behind, however this ends.
  unlink(file.path.c_str());
  scene->sealer_.SetKey(NamespaceId{}, RandomKey());  // The benchmark's copies are nobody's.
  KVP_ASSIGN_OR_RETURN(
      scene->executor_,
      NvmeExecutor::Create({.arena = scene->arena_.get(),
                            .file = scene->file_.get(),
                            .depth = depth,
                            .sealer = options.encrypted ? &scene->sealer_ : nullptr}));
  return scene;
}

absl::Status NvmeScene::MakeArena(const Geometry& geometry, uint32_t frames) {
  KVP_ASSIGN_OR_RETURN(arena_, HostArena::Create({.geometry = geometry, .frames = frames}));
  std::minstd_rand random(1);
  for (uint32_t i = 0; i < frames; ++i) {
    const absl::Span<std::byte> payload = arena_->payload(FrameIndex{i});
    for (std::byte& byte : payload) byte = static_cast<std::byte>(random() >> 8);
    SetHostPart(arena_->header(FrameIndex{i}), ExecutorTraffic::kPage, payload);
  }
  return absl::OkStatus();
}

}  // namespace kvpager::bench
