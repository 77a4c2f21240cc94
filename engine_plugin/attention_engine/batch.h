// engine_plugin/attention_engine/batch.h
//
// What one forward pass is over: sequences, how long they were before it, and the tokens that each
// gains. The same for all layers.
//
// Units: tokens. Ownership: everything is a value. Thread-safety: const calls.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_BATCH_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_BATCH_H_

#include <cstdint>
#include <vector>

#include "engine_plugin/kvpager.h"
#include "kernels/attention.h"

namespace kvpager::attention {

struct PassEntry {
  kvp_seq seq = 0;
  uint32_t new_tokens = 0;  // At least 1.
};

struct Batch {
  std::vector<PassEntry> entries;
  std::vector<int64_t> before_tokens;  // [entries]
  std::vector<int32_t> new_indptr;     // [entries + 1]: new tokens of the entries before.

  int32_t size() const { return static_cast<int32_t>(entries.size()); }
  int32_t new_tokens() const { return new_indptr.back(); }
};

// The new tokens' rows of one layer, in the order of the batch.
struct LayerInput {
  const float* query = nullptr;  // [new tokens, query_heads, head_dim_k]
  const float* k = nullptr;      // [new tokens, kv_heads, head_dim_k]
  const float* v = nullptr;      // [new tokens, kv_heads, head_dim_v]
};

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_BATCH_H_
