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
#include "kernels/cpu/append.h"

namespace kvpager::attention {

struct PassEntry {
  kvp_seq seq = 0;
  uint32_t new_tokens = 0;  // At least 1.
};

// Makes a pass's new tokens drafts: they can be rolled back (kvp_seq_truncate) or accepted in part
// (kvp_seq_compact), and each sees of them what its bits say, instead of all before it.
struct Drafts {
  const uint64_t* bits = nullptr;  // [new tokens, words]: bit i is the entry's new token i. Copied.
  int32_t words = 0;               // 0: no drafts.
};

struct Batch {
  std::vector<PassEntry> entries;
  std::vector<int64_t> before_tokens;  // [entries]
  std::vector<int32_t> new_indptr;     // [entries + 1]: new tokens of the entries before.
  std::vector<uint64_t> draft_bits;    // [new tokens, draft_words]
  int32_t draft_words = 0;             // 0: no drafts.

  bool drafts() const { return draft_words > 0; }

  int32_t size() const { return static_cast<int32_t>(entries.size()); }
  int32_t new_tokens() const { return new_indptr.back(); }
};

// The new tokens' rows of one layer, in the order of the batch.
struct LayerInput {
  // [new tokens, query_heads, head_dim_k]; null: nothing is attended in this layer, K and V are
  // kept.
  const float* query = nullptr;
  const float* k = nullptr;  // [new tokens, kv_heads, head_dim_k]
  const float* v = nullptr;  // [new tokens, kv_heads, head_dim_v]; not used where V is the
                             // start of K's rows
};

// Those of one entry, out of the rows of all.
inline kernels::NewTokens NewTokensOf(const Batch& batch, const LayerInput& input, int32_t entry,
                                      const kernels::PagedKv& kv) {
  const int64_t first = int64_t{batch.new_indptr[static_cast<size_t>(entry)]} * kv.kv_heads;
  kernels::NewTokens tokens;
  tokens.k = input.k + first * kv.head_dim_k;
  if (!kernels::SharesRows(kv)) tokens.v = input.v + first * kv.head_dim_v;
  tokens.count = batch.entries[static_cast<size_t>(entry)].new_tokens;
  return tokens;
}

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_BATCH_H_
