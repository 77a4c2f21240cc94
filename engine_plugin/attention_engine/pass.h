// engine_plugin/attention_engine/pass.h
//
// One forward pass over a batch, in one of the ways that attention_engine.h names. Layers are
// attended in order, once each.
//
// Ownership: a pass borrows its tools, and owns its steps: one that is destroyed before its end
// discards them. Thread-safety: one thread; the workers work inside the calls.
// Errors: those of the C ABI; after one, the pass can only be ended with discard.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_PASS_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_PASS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "engine_plugin/attention_engine/batch.h"
#include "engine_plugin/attention_engine/pool_view.h"
#include "engine_plugin/attention_engine/windows.h"
#include "engine_plugin/attention_engine/workers.h"
#include "kernels/attention.h"

namespace kvpager::attention {

// What all passes of an engine use.
struct Tools {
  PoolView pool;
  Workers workers;
  Windows windows;
  int32_t query_heads = 0;
  float scale = 1.0f;
  uint64_t timeout_us = 0;  // Per step.
};

enum class KeepOrDiscard { kKeep, kDiscard };

class Pass {
 public:
  virtual ~Pass() = default;

  // Appends the new tokens' rows of `layer`, and attends the queries to everything before them that
  // the layer's window has, and to themselves, causally or as drafts.
  virtual absl::Status Attend(uint32_t layer, const LayerInput& input,
                              const kernels::AttentionOutput& output) = 0;
  virtual absl::Status End(KeepOrDiscard keep_or_discard) = 0;
};

inline kernels::AttentionQuery QueryOf(const Tools& tools, const Batch& batch, uint32_t layer,
                                       const LayerInput& input) {
  kernels::AttentionQuery query;
  query.query = input.query;
  query.query_heads = tools.query_heads;
  query.scale = tools.scale;
  query.query_indptr = batch.new_indptr.data();
  query.mask.window_tokens = tools.windows.of(layer).tokens;
  query.mask.sink_tokens = tools.windows.of(layer).sinks;
  if (batch.drafts()) {
    query.mask.draft_bits = batch.draft_bits.data();
    query.mask.draft_words = batch.draft_words;
  }
  return query;
}

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_PASS_H_
