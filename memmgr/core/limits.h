// memmgr/core/limits.h
//
// The fixed upper bounds of one pool. Everything the core allocates follows from these, once, in
// Core::Create. DeriveLimits makes them from the daemon's options and refuses, in one sentence that
// says what to change, options that contradict each other.

#ifndef KVPAGER_MEMMGR_CORE_LIMITS_H_
#define KVPAGER_MEMMGR_CORE_LIMITS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/effect.h"

namespace kvpager {

// Which blocks are worth an NVMe write. Blocks of open sequences are always written when host
// memory runs out of room: their bytes may not be lost.
enum class Admission : uint8_t { kNever, kSecondTouch, kAlways };

// Touches that admit a block while the write budget asks for no more.
constexpr uint32_t TouchesToAdmit(Admission admission) {
  return admission == Admission::kAlways ? 1 : 2;
}

// Between `low` and `high`, in thousandths of a tier's frames (R6).
struct Watermark {
  uint32_t low_permille = 0;
  uint32_t high_permille = 0;
};

// What one namespace may have of one tier, in frames. Others never take its pages when it is at or
// below `guaranteed`; it never has more than `max`.
struct Quota {
  uint32_t guaranteed = 0;
  uint32_t max = ~uint32_t{0};  // All ones: no maximum.

  friend bool operator==(const Quota&, const Quota&) = default;
};

inline constexpr uint32_t kShareMax = 1000;
struct NamespaceQuota {
  std::array<Quota, kTierCount> tiers;
  uint32_t share = 1;  // [1, kShareMax]: weight when steps compete for frames (R1).
};

// Namespaces with quotas; all others are one class beside them (charges.h).
inline constexpr uint32_t kQuotasMax = 63;

// What the daemon's configuration says of one pool.
struct PoolOptions {
  uint32_t page_tokens = 16;
  uint32_t num_groups = 1;
  uint32_t blocks_hbm = 0;
  uint32_t blocks_host = 0;
  uint32_t blocks_nvme = 0;  // 0: no NVMe tier.
  uint32_t clients_max = 64;
  uint32_t namespaces_max = 64;
  uint32_t sequences_max = 4096;
  uint32_t steps_max = 1024;
  Admission admission = Admission::kSecondTouch;
  uint32_t write_budget_blocks = 0;  // To NVMe per day (write_budget.h); 0: no limit.
  uint32_t durable_permille = 500;   // Share of NVMe that durable blocks may fill.
  uint32_t credits_permille = 62;    // Share of HBM that engines may be given ahead of time.
  Watermark free_hbm = {20, 40};
  Watermark clean_hbm = {150, 250};
  Watermark free_host = {20, 40};
  // Wide: what waits for the NVMe must not be what a step needs the room of. Blocks that are
  // admitted are written sooner or later; sooner costs nothing.
  Watermark clean_host = {600, 850};
  // By namespace, with the names that refusals say; namespaces behind the end have no quotas.
  std::vector<NamespaceQuota> quotas;
  std::vector<std::string> quota_names;
  uint64_t incarnation = 1;  // Random per start of the daemon; first half of stamps.
};

struct Limits {
  uint32_t page_tokens = 0;
  uint32_t num_groups = 0;
  std::array<uint32_t, kTierCount> frames_max{};        // kHost: at least 2, one stays in reserve.
  uint32_t blocks_max = 0;                              // Rows: every block with a copy anywhere.
  std::array<uint32_t, kChannelCount> in_flight_max{};  // Operations per channel.
  uint32_t clients_max = 0;
  uint32_t lanes_per_client = 8;
  uint32_t namespaces_max = 0;
  uint32_t sequences_max = 0;
  uint32_t sequence_chunks_max = 0;  // Of kBlocksPerChunk block references each.
  uint32_t steps_max = 0;
  uint32_t step_entries_max = 0;  // All steps together.
  uint32_t step_entries_per_step_max = 1024;
  uint32_t split_steps_max = 16;        // SPLIT steps pinned at once.
  uint32_t deferred_max = 0;            // Commands waiting for a ticket.
  uint32_t keys_per_command_max = 256;  // Open, Extend, Name, Prefetch.
  uint32_t prefetches_max = 64;
  uint32_t evictions_max = 64;
  uint32_t durable_names_max = 256;  // Waiting for the flush.
  uint32_t durable_blocks_max = 0;
  uint32_t credits_max = 0;         // Blocks given to engines ahead of time (credits.h).
  uint32_t pages_per_input = 4096;  // R10.
  Admission admission = Admission::kSecondTouch;
  uint32_t write_budget_blocks = 0;    // Per day.
  std::array<uint32_t, 2> free_low{};  // Frames; [kHbm], [kHost].
  std::array<uint32_t, 2> free_high{};
  std::array<uint32_t, 2> clean_low{};  // Pages.
  std::array<uint32_t, 2> clean_high{};
  uint64_t incarnation = 0;
  std::vector<NamespaceQuota> quotas;  // By namespace; those behind the end have none.

  uint32_t pages_max() const { return blocks_max * num_groups; }
};

// kInvalidArgument with a sentence that names the option to change.
absl::StatusOr<Limits> DeriveLimits(const PoolOptions& options);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_LIMITS_H_
