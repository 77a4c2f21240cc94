// From sizes in bytes to numbers of blocks, once the geometry is known.

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/page_table_layout.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/pool.h"

namespace kvpager {
namespace {

struct TierSize {
  const char* tier;
  SizeSetting size;
  uint64_t block_bytes;  // One block in this tier.
  uint64_t fixed_bytes;  // Beside the blocks.
  uint64_t blocks_min;
};

absl::StatusOr<uint32_t> BlocksOf(const TierSize& tier, uint32_t num_groups) {
  uint64_t blocks = tier.size.value;
  if (tier.size.unit != SizeUnit::kBlocks) {
    const uint64_t bytes = tier.size.bytes - std::min(tier.size.bytes, tier.fixed_bytes);
    blocks = bytes / tier.block_bytes;
  }
  if (blocks < tier.blocks_min) {
    return absl::InvalidArgumentError(absl::StrCat(
        tier.tier, " has room for ", blocks, " blocks of ", FormatBytes(tier.block_bytes),
        ", and at least ", tier.blocks_min, " are needed; raise ", tier.tier, ".size to ",
        FormatBytes(tier.blocks_min * tier.block_bytes + tier.fixed_bytes), " or more"));
  }
  // Automatic and large sizes end where the page table's words end.
  const uint64_t blocks_max = (kFramesPerTierMax - 1) / num_groups;
  if (tier.size.unit == SizeUnit::kBlocks && blocks > blocks_max) {
    return absl::InvalidArgumentError(
        absl::StrCat(tier.tier, ".blocks = ", blocks, " are more than the ", blocks_max,
                     " that a page table of ", num_groups, " groups can name; lower it"));
  }
  return static_cast<uint32_t>(std::min(blocks, blocks_max));
}

// In frames of a tier that has `frames`: rounded down, so that shares of 100% together fit.
uint32_t FramesOf(const SizeSetting& size, const TierSize& tier, uint64_t frames, uint32_t groups) {
  uint64_t blocks = size.value;
  if (size.unit == SizeUnit::kPercent) blocks = frames / groups * size.value / 100;
  if (size.unit == SizeUnit::kBytes) blocks = size.value / tier.block_bytes;
  return static_cast<uint32_t>(std::min<uint64_t>(blocks * groups, ~uint32_t{0}));
}

// In blocks a day; at least one, for 0 would be no limit.
uint32_t WriteBudgetOf(const Config& config, uint64_t blocks_nvme, uint64_t block_bytes) {
  const SizeSetting& budget = config.nvme_write_budget;
  if (budget.unit == SizeUnit::kAuto || blocks_nvme == 0) return 0;
  const uint64_t blocks = budget.unit == SizeUnit::kPercent ? blocks_nvme * budget.value / 100
                                                            : budget.value / block_bytes;
  return static_cast<uint32_t>(std::clamp<uint64_t>(blocks, 1, ~uint32_t{0}));
}

// Namespaces with quotas have the first numbers (namespaces.cc). A tier that is off has no quotas.
void AddQuotas(const Config& config, const std::array<TierSize, kTierCount>& tiers,
               PoolOptions& options) {
  const uint32_t blocks[] = {options.blocks_hbm, options.blocks_host, options.blocks_nvme};
  for (const NamespaceConfig& entry : config.namespaces) {
    if (!entry.has_quota()) continue;
    NamespaceQuota quota{.tiers = {}, .share = entry.share};
    for (size_t tier = 0; tier < kTierCount; ++tier) {
      const uint64_t frames = uint64_t{blocks[tier]} * options.num_groups;
      const QuotaSetting& setting = entry.quotas[tier];
      if (frames == 0) continue;
      const auto frames_of = [&](const SizeSetting& size) {
        return FramesOf(size, tiers[tier], frames, options.num_groups);
      };
      if (setting.guaranteed.unit != SizeUnit::kAuto) {
        quota.tiers[tier].guaranteed = frames_of(setting.guaranteed);
      }
      if (setting.max.unit != SizeUnit::kAuto) quota.tiers[tier].max = frames_of(setting.max);
    }
    options.quotas.push_back(quota);
    options.quota_names.push_back(entry.name);
  }
}

}  // namespace

absl::StatusOr<PoolOptions> PoolOptionsOf(const Config& config, const Geometry& geometry,
                                          uint64_t memory_free_bytes) {
  KVP_RETURN_IF_ERROR(geometry.Validate(1));
  PoolOptions options = config.pool;
  const uint32_t groups = geometry.num_groups();
  options.page_tokens = geometry.page_tokens;
  options.num_groups = groups;
  const uint64_t hbm_block_bytes = groups * geometry.frame_bytes_hbm();
  const uint64_t host_block_bytes = groups * geometry.frame_bytes_host();
  KVP_ASSIGN_OR_RETURN(options.blocks_hbm,
                       BlocksOf({"hbm", config.hbm, hbm_block_bytes, 0, 1}, groups));
  KVP_ASSIGN_OR_RETURN(options.blocks_host,
                       BlocksOf({"host", config.host, host_block_bytes, 0, 2}, groups));
  options.blocks_nvme = 0;
  if (!config.nvme_path.empty()) {
    KVP_ASSIGN_OR_RETURN(
        options.blocks_nvme,
        BlocksOf({"nvme", config.nvme, host_block_bytes, kFrameHeaderBytes, 1}, groups));
  }
  options.write_budget_blocks = WriteBudgetOf(config, options.blocks_nvme, host_block_bytes);
  AddQuotas(config,
            {{{"hbm", config.hbm, hbm_block_bytes, 0, 1},
              {"host", config.host, host_block_bytes, 0, 2},
              {"nvme", config.nvme, host_block_bytes, kFrameHeaderBytes, 1}}},
            options);
  const uint64_t memory_bytes = (config.hbm_on_gpu ? 0 : options.blocks_hbm * hbm_block_bytes) +
                                options.blocks_host * host_block_bytes;
  if (memory_bytes > memory_free_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        options.blocks_hbm, " blocks of hbm and ", options.blocks_host, " of host need ",
        FormatBytes(memory_bytes), " of memory, and ", FormatBytes(memory_free_bytes),
        " are free; lower hbm.blocks or host.blocks (or their sizes)"));
  }
  KVP_RETURN_IF_ERROR(geometry.Validate(uint64_t{options.blocks_hbm} * groups));
  return options;
}

}  // namespace kvpager
