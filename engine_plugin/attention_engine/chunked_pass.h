// engine_plugin/attention_engine/chunked_pass.h
//
// STREAMED and SPLIT: chunk by chunk, each a step of its own, so that a sequence may be as long as
// all tiers together. The next chunk is on its way while one is attended; partial results are
// merged by log-sum-exp. The new tokens' rows are kept aside and written when the pass ends.
//
//   STREAMED   chunks pass through HBM
//   SPLIT      pages are attended where they are, in HBM or in host memory

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_CHUNKED_PASS_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_CHUNKED_PASS_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine_plugin/attention_engine/chunks.h"
#include "engine_plugin/attention_engine/new_rows.h"
#include "engine_plugin/attention_engine/pass.h"
#include "engine_plugin/attention_engine/scoped_step.h"
#include "kernels/attention_states.h"
#include "kernels/cpu/split_attention.h"

namespace kvpager::attention {

struct ChunkedOptions {
  uint32_t residency = KVP_STREAMED;  // Or KVP_SPLIT.
  uint32_t chunk_blocks = 0;          // At most, of one chunk.
  // Steps open at once: one is attended, the next collects its pages, and those behind it are read
  // ahead from NVMe into host memory, across those that have their pages there already.
  uint32_t chunks_ahead = 14;
};

class ChunkedPass : public Pass {
 public:
  ChunkedPass(const Tools& tools, Batch batch, const ChunkedOptions& options);

  absl::Status Attend(uint32_t layer, const LayerInput& input,
                      const kernels::AttentionOutput& output) override;
  absl::Status End(KeepOrDiscard keep_or_discard) override;

 private:
  struct LayerStep {
    uint32_t layer;
    ScopedStep step;
  };
  // Attention of some entries to some of their pages.
  struct Part {
    int32_t first_entry;
    int32_t entries;
    kernels::SplitAttention attention;
  };
  struct Ahead {
    uint32_t layer = 0;
    size_t chunk = 0;
  };

  const std::vector<Chunk>& ChunksFor(uint32_t layer) const {
    return chunks_[tools_.windows.kind_of(layer)];
  }
  absl::StatusOr<ScopedStep> BeginChunk(const Chunk& chunk, uint32_t group) const;
  absl::Status BeginAhead();
  void SkipLayer(uint32_t layer);
  absl::Status AttendChunk(const Chunk& chunk, ScopedStep step, uint32_t layer,
                           const LayerInput& input);
  absl::StatusOr<std::vector<Part>> AttendReady(const Chunk& chunk, const ScopedStep& step,
                                                uint32_t layer, const LayerInput& input) const;
  void KeepRows(uint32_t layer, const LayerInput& input);
  void AttendNewRows(uint32_t layer, const LayerInput& input);
  // Over `kv`, whose entry i is the batch's entry first_entry + i.
  Part AttendPages(const kernels::PagedKv& kv, const kernels::AttentionQuery& query,
                   int32_t first_entry) const;
  void Merge(Part part);
  // Writes what the pass has kept aside into pages, a window's worth at a time: all of it, or after
  // an error nothing.
  absl::Status AppendAll();
  void TakeBack(const std::vector<int64_t>& appended) const;
  absl::Status AppendSome(const std::vector<int64_t>& first, const std::vector<int64_t>& count);

  const Tools& tools_;
  const Batch batch_;
  const ChunkedOptions options_;
  std::vector<std::vector<Chunk>> chunks_;  // By kind of window.
  NewRows new_rows_;
  std::vector<kernels::AttentionStates> states_;  // By entry.
  std::deque<LayerStep> steps_;                   // Under way, the oldest first.
  Ahead ahead_;                                   // The chunk that is begun next.
};

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_CHUNKED_PASS_H_
