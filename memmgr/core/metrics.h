// memmgr/core/metrics.h
//
// Plain counters that the core increments; a snapshot is a copy. Text is made elsewhere.

#ifndef KVPAGER_MEMMGR_CORE_METRICS_H_
#define KVPAGER_MEMMGR_CORE_METRICS_H_

#include <array>
#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/effect.h"

namespace kvpager {

struct CoreMetrics {
  uint64_t lookup_blocks = 0;                     // Keys asked for by Open and Extend.
  std::array<uint64_t, kTierCount> hit_blocks{};  // By the slowest tier one of its pages was in.
  uint64_t steps_begun = 0;
  uint64_t steps_ready = 0;
  uint64_t steps_ready_at_once = 0;    // In the input that asked for them.
  uint64_t steps_waited_for_room = 0;  // At least once, for a demotion.
  uint64_t steps_lost = 0;
  std::array<uint64_t, kChannelCount> copies_started{};
  std::array<uint64_t, kChannelCount> copies_failed{};
  std::array<uint64_t, kChannelCount> copies_corrupt{};
  std::array<uint64_t, kTierCount> evicted_clean_pages{};
  std::array<uint64_t, kTierCount> evicted_dropped_pages{};  // The last copy of a cached block.
  uint64_t rescued_pages = 0;     // A demotion was undone by a fault (R3).
  uint64_t read_ahead_pages = 0;  // From NVMe, for steps that wait behind another.
  uint64_t taken_back_pages = 0;  // Out of limbo, by a fault.
  uint64_t swaps = 0;             // The reserved host frame was used (R2).
  uint64_t blocks_lost = 0;
  uint64_t retired_frames = 0;   // Of NVMe, in runs with one that could not be read.
  uint64_t catalogue_stale = 0;  // A restored block's header disagreed.
  uint64_t prefetched_pages = 0;
  uint64_t credits_granted = 0;
  uint64_t credits_used = 0;     // Blocks that came to a sequence without a message.
  uint64_t credits_revoked = 0;  // A step needed the frames, or another sequence the credit.
  uint64_t exhausted = 0;        // Replies with kResourceExhausted.
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_METRICS_H_
