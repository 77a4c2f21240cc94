#include "memmgr/core/limits.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/units.h"
#include "memmgr/core/sequence_table.h"

namespace kvpager {
namespace {

constexpr uint64_t kFramesMax = uint64_t{1} << 26;  // Bits of a frame in a page table word.
constexpr uint64_t kPagesMax = uint64_t{1} << 32;

absl::Status CheckWatermark(const char* name, const Watermark& mark) {
  if (mark.low_permille <= mark.high_permille && mark.high_permille <= 900) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "watermark ", name, ": low ", mark.low_permille, " and high ", mark.high_permille,
      " permille; low must not exceed high, and high must be at most 900"));
}

absl::Status Check(const PoolOptions& options) {
  if (options.num_groups == 0 || options.page_tokens == 0 || options.page_tokens > UINT16_MAX) {
    return absl::InvalidArgumentError(
        "a pool needs 1 to 65535 tokens per page and at least 1 group");
  }
  if (options.blocks_hbm == 0) {
    return absl::InvalidArgumentError("hbm has room for no block; raise hbm.size or hbm.blocks");
  }
  if (uint64_t{options.blocks_host} * options.num_groups < 2) {
    return absl::InvalidArgumentError(
        "host memory has room for fewer than 2 pages; raise host.size or host.blocks");
  }
  const struct {
    const char* tier;
    uint32_t blocks;
  } tiers[] = {
      {"hbm", options.blocks_hbm}, {"host", options.blocks_host}, {"nvme", options.blocks_nvme}};
  uint64_t pages = 0;
  for (const auto& [tier, blocks] : tiers) {
    const uint64_t frames = uint64_t{blocks} * options.num_groups;
    pages += frames;
    if (frames < kFramesMax) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(tier, " would have ", frames, " frames; at most ", kFramesMax - 1,
                     " fit a page table word: lower ", tier, ".size, or use larger pages"));
  }
  if (pages >= kPagesMax) return absl::InvalidArgumentError("the tiers have 2^32 pages or more");
  if (options.clients_max == 0 || options.sequences_max == 0 || options.steps_max == 0 ||
      options.namespaces_max == 0) {
    return absl::InvalidArgumentError(
        "clients, namespaces, sequences and steps must be at least 1");
  }
  if (options.durable_permille > 1000) {
    return absl::InvalidArgumentError("durable.share is more than the whole of nvme");
  }
  if (options.credits_permille > 500) {
    return absl::InvalidArgumentError(
        "credits would take more than half of hbm; lower their share");
  }
  return absl::OkStatus();
}

constexpr const char* kTierNames[] = {"hbm", "host", "nvme"};

std::string NameOf(const PoolOptions& options, size_t index) {
  if (index < options.quota_names.size()) return options.quota_names[index];
  return absl::StrCat(index);
}

// One tier of one namespace. The smallest maximum is what one page needs to pass through: a block
// of HBM, and two frames of host memory, one of which stays in reserve (R2).
absl::Status CheckQuota(const PoolOptions& options, size_t index, size_t tier) {
  const Quota& quota = options.quotas[index].tiers[tier];
  const std::string whose =
      absl::StrCat("namespace \"", NameOf(options, index), "\": ", kTierNames[tier]);
  if (quota.guaranteed > quota.max) {
    return absl::InvalidArgumentError(
        absl::StrCat(whose, ".guaranteed is ", quota.guaranteed, " pages, more than ",
                     kTierNames[tier], ".max = ", quota.max, "; lower the one or raise the other"));
  }
  const uint32_t least[] = {options.num_groups, std::max(2u, options.num_groups), 0};
  if (quota.max < least[tier]) {
    return absl::InvalidArgumentError(absl::StrCat(whose, ".max is ", quota.max,
                                                   " pages, and no step runs with fewer than ",
                                                   least[tier], "; raise it"));
  }
  return absl::OkStatus();
}

absl::Status CheckQuotas(const PoolOptions& options) {
  if (options.quotas.size() > std::min(kQuotasMax, options.namespaces_max)) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.quotas.size(), " namespaces have quotas; at most ",
                     std::min(kQuotasMax, options.namespaces_max),
                     " can (limits.namespaces, and never more than ", kQuotasMax, ")"));
  }
  const uint32_t blocks[] = {options.blocks_hbm, options.blocks_host, options.blocks_nvme};
  for (size_t tier = 0; tier < kTierCount; ++tier) {
    uint64_t guaranteed = 0;
    for (size_t i = 0; i < options.quotas.size(); ++i) {
      if (absl::Status status = CheckQuota(options, i, tier); !status.ok()) return status;
      guaranteed += options.quotas[i].tiers[tier].guaranteed;
    }
    const uint64_t frames = uint64_t{blocks[tier]} * options.num_groups;
    if (guaranteed <= frames) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("the namespaces are guaranteed ", guaranteed, " pages of ", kTierNames[tier],
                     " together, and it has ", frames, "; lower some ", kTierNames[tier],
                     ".guaranteed, or raise ", kTierNames[tier], ".size"));
  }
  for (size_t i = 0; i < options.quotas.size(); ++i) {
    const uint32_t share = options.quotas[i].share;
    if (share >= 1 && share <= kShareMax) continue;
    return absl::InvalidArgumentError(absl::StrCat("namespace \"", NameOf(options, i),
                                                   "\": share = ", share, " must be in [1, ",
                                                   kShareMax, "]"));
  }
  return absl::OkStatus();
}

uint32_t Share(uint64_t frames, uint32_t permille) {
  return static_cast<uint32_t>(frames * permille / 1000);
}

}  // namespace

absl::StatusOr<Limits> DeriveLimits(const PoolOptions& options) {
  if (absl::Status status = Check(options); !status.ok()) return status;
  const struct {
    const char* name;
    const Watermark& mark;
  } marks[] = {{"free.hbm", options.free_hbm},
               {"clean.hbm", options.clean_hbm},
               {"free.host", options.free_host},
               {"clean.host", options.clean_host}};
  for (const auto& [name, mark] : marks) {
    if (absl::Status status = CheckWatermark(name, mark); !status.ok()) return status;
  }
  if (absl::Status status = CheckQuotas(options); !status.ok()) return status;
  Limits limits;
  limits.quotas = options.quotas;
  limits.page_tokens = options.page_tokens;
  limits.num_groups = options.num_groups;
  limits.admission = options.blocks_nvme == 0 ? Admission::kNever : options.admission;
  limits.write_budget_blocks = options.write_budget_blocks;
  limits.incarnation = options.incarnation;
  limits.clients_max = options.clients_max;
  limits.namespaces_max = options.namespaces_max;
  limits.sequences_max = options.sequences_max;
  limits.steps_max = options.steps_max;
  limits.frames_max = {options.blocks_hbm * options.num_groups,
                       options.blocks_host * options.num_groups,
                       options.blocks_nvme * options.num_groups};
  // Small pages need more of them under way for the same bytes.
  const uint32_t depth = std::min(options.num_groups, 4u);
  limits.in_flight_max = {64 * depth, 128 * depth, 64, 64, 64 * depth, 128 * depth};
  limits.credits_max = Share(options.blocks_hbm, options.credits_permille);
  // Every block with a copy, those that a step is about to make, and those that are going.
  limits.blocks_max = limits.credits_max + options.blocks_hbm + options.blocks_host +
                      options.blocks_nvme + 2 * limits.pages_per_input / options.num_groups +
                      limits.step_entries_per_step_max + 512;
  limits.sequence_chunks_max =
      static_cast<uint32_t>(CeilDiv(4 * uint64_t{limits.blocks_max}, kBlocksPerChunk)) +
      2 * options.sequences_max;
  limits.step_entries_max = std::max(16 * options.steps_max, 2 * limits.step_entries_per_step_max);
  limits.deferred_max = std::min(1024u, 4 * options.sequences_max);
  limits.durable_blocks_max = Share(options.blocks_nvme, options.durable_permille);
  const Watermark free_marks[] = {options.free_hbm, options.free_host};
  const Watermark clean_marks[] = {options.clean_hbm, options.clean_host};
  for (size_t tier = 0; tier < 2; ++tier) {
    const uint64_t frames = limits.frames_max[tier];
    limits.free_low[tier] = Share(frames, free_marks[tier].low_permille);
    limits.free_high[tier] = Share(frames, free_marks[tier].high_permille);
    limits.clean_low[tier] = Share(frames, clean_marks[tier].low_permille);
    limits.clean_high[tier] = Share(frames, clean_marks[tier].high_permille);
  }
  return limits;
}

}  // namespace kvpager
