// tools/kvpager-replay/metrics.h
//
// What a replay counts. Everything of a request is added when the request is finished, so that one
// that started over is not counted twice; everything else as it happens.
//
// Units: names carry them. Ownership: values.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_METRICS_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_METRICS_H_

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine_plugin/kvpager.h"
#include "tools/kvpager-replay/histogram.h"

namespace kvpager::replay {

struct WaitHistograms {
  Histogram total;  // From begin to ready, as far as it can be seen: see StepRecord in runner.cc.
  Histogram host;   // Promotion from host memory,
  Histogram nvme;   // from NVMe,
  Histogram room;   // waiting for a frame to become free,
  Histogram queue;  // behind other steps.
};

struct Metrics {
  uint64_t requests = 0;
  uint64_t lookup_blocks = 0;  // Full blocks only.
  std::array<uint64_t, KVP_TIER_COUNT> hit_blocks{};
  uint64_t prefilled_tokens = 0;
  uint64_t decoded_tokens = 0;

  uint64_t steps = 0;
  WaitHistograms wait_ns;
  uint64_t stalled_ns = 0;  // The engines stood still, in begin or because nothing was ready.
  uint64_t promoted_host_pages = 0;
  uint64_t promoted_nvme_pages = 0;

  uint64_t pages_verified = 0;
  uint64_t pages_mismatched = 0;
  uint64_t attention_checked = 0;
  uint64_t attention_mismatched = 0;

  uint64_t data_losses = 0;  // Steps and sequences that were cut.
  uint64_t blocks_recomputed = 0;
  uint64_t exhausted_retries = 0;
  uint64_t reconnects = 0;
  uint64_t requests_restarted = 0;

  // (engine, request) in the order in which sequences were first opened.
  std::vector<std::pair<uint32_t, uint32_t>> opens;

  uint64_t hits() const { return hit_blocks[0] + hit_blocks[1] + hit_blocks[2]; }
  double hit_ratio() const {
    return lookup_blocks == 0 ? 0.0
                              : static_cast<double>(hits()) / static_cast<double>(lookup_blocks);
  }
  bool content_is_right() const { return pages_mismatched == 0 && attention_mismatched == 0; }
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_METRICS_H_
