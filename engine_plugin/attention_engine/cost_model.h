// engine_plugin/attention_engine/cost_model.h
//
// How AUTO chooses: what a pass would take in each mode, from how fast this machine attends pages
// where they are and copies them to HBM, both measured when the engine is made.
//
//   RESIDENT   all / attend                      if it fits
//   STREAMED   max(outside / copy, all / attend) what is outside of HBM is copied there meanwhile
//   SPLIT      all / attend                      read in place
//
// What has to come from NVMe comes in both STREAMED and SPLIT, and is left out.
//
// Units: bytes per second, seconds. Ownership: values. Thread-safety: pure functions.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_COST_MODEL_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_COST_MODEL_H_

#include <cstdint>
#include <string>

#include "engine_plugin/attention_engine/pool_view.h"
#include "engine_plugin/attention_engine/workers.h"

namespace kvpager::attention {

enum class Mode { kResident, kStreamed, kSplit, kAuto };

struct Rates {
  double attend = 0;  // K and V of one decoded token, by all workers.
  double copy = 0;    // From host memory to HBM.
};

// Takes some ten milliseconds: a decode over pages of the pool's shape, in memory of its own, and
// copies of them.
Rates MeasureRates(const PoolView& pool, const Workers& workers, int32_t query_heads);

struct PassSize {
  uint64_t bytes = 0;          // K and V that the pass reads, all layers.
  uint64_t hbm_bytes = 0;      // What of HBM it may fill.
  bool host_readable = false;  // Pages in host memory can be attended in place.
};

struct Choice {
  Mode mode = Mode::kResident;
  std::string why;  // One line, for people.
};
Choice ChooseMode(const Rates& rates, const PassSize& size);

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_COST_MODEL_H_
