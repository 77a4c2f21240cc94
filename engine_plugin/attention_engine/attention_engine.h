// engine_plugin/attention_engine/attention_engine.h
//
// Attention over sequences that kvpagerd holds, wherever their pages are. The caller has Q, K and V
// of new tokens, layer by layer; this appends K and V and returns the attention's output. It drives
// steps and views of the C ABI itself.
//
//   BeginPass    which sequences, and how many tokens each gains
//   AttendLayer  once per layer, in order
//   EndPass      the new tokens are kept, or forgotten
//
//   RESIDENT   all pages of the batch in HBM for the whole pass
//   STREAMED   windows of pages pass through HBM, layer by layer: no limit but that of all tiers
//              together
//   SPLIT      windows of pages are attended where they are, in HBM or in host memory
//   AUTO       RESIDENT where it fits, else what the cost model says (cost_model.h)
//
// Results are the same in all modes, but for rounding (docs/KERNELS.md).
//
// Ownership: borrows the client, which must have nothing else to do during a pass with the pass's
// sequences. Thread-safety: one thread; it starts none, and uses those of options.workers.
// Errors: those of the C ABI, in its words; after one, EndPass with kDiscard.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_ATTENTION_ENGINE_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_ATTENTION_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine_plugin/attention_engine/cost_model.h"
#include "engine_plugin/attention_engine/pass.h"

namespace kvpager::attention {

struct AttentionEngineOptions {
  kvp_client* client = nullptr;
  kvp_geometry geometry{};   // That of the pool.
  uint32_t query_heads = 0;  // A multiple of geometry.num_kv_heads.
  uint32_t head_dim_v = 0;   // Of the output, where geometry.head_dim_v is 0; at most head_dim_k.
  float scale = 0;           // Of the logits; 0: 1 / sqrt(head_dim_k).
  std::vector<Window> windows;  // By layer; empty: all layers see everything.
  Workers workers;
  uint32_t chunk_blocks = 0;         // STREAMED, SPLIT: of one chunk; 0: chosen.
  uint64_t timeout_us = 60'000'000;  // Per step.
};

class AttentionEngine {
 public:
  // kInvalidArgument: options that contradict each other.
  static absl::StatusOr<std::unique_ptr<AttentionEngine>> Create(
      const AttentionEngineOptions& options);

  // REQUIRES: no pass is open. kInvalidArgument: no entries, or one that gains no token.
  absl::Status BeginPass(Mode mode, absl::Span<const PassEntry> entries, const Drafts& drafts = {});
  // REQUIRES: a pass is open, and its next layer is `layer`.
  absl::Status AttendLayer(uint32_t layer, const LayerInput& input,
                           const kernels::AttentionOutput& output);
  // REQUIRES: a pass is open; to keep it, that all layers were attended.
  absl::Status EndPass(KeepOrDiscard keep_or_discard);

  // Of the pass that is open, or was last: what AUTO has chosen, and why.
  Mode mode() const { return choice_.mode; }
  const std::string& why() const { return choice_.why; }

 private:
  AttentionEngine(const AttentionEngineOptions& options, PoolView pool);
  PassSize SizeOf(const Batch& batch) const;
  absl::StatusOr<Batch> MakeBatch(absl::Span<const PassEntry> entries, const Drafts& drafts) const;
  uint32_t ChunkBlocks(Mode mode) const;

  const AttentionEngineOptions options_;
  Tools tools_;
  Rates rates_;  // Measured when AUTO is first used.
  Choice choice_;
  uint32_t next_layer_ = 0;
  std::unique_ptr<Pass> pass_;
};

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_ATTENTION_ENGINE_H_
