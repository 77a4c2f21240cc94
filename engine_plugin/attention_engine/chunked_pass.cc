#include "engine_plugin/attention_engine/chunked_pass.h"

#include <algorithm>
#include <utility>

#include "kernels/cpu/split_attention.h"
#include "kernels/work_plan.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::attention {
namespace {

constexpr int kTriesMax = 8;  // Per layer.

}  // namespace

ChunkedPass::ChunkedPass(const Tools& tools, Batch batch, const ChunkedOptions& options)
    : tools_(tools), batch_(std::move(batch)), options_(options), new_rows_(tools.pool, batch_) {
  for (const Window& window : tools.windows.kinds()) {
    chunks_.push_back(ChunksOf(batch_, {.page_tokens = tools.pool.geometry().page_tokens,
                                        .blocks_max = options.chunk_blocks,
                                        .window = window}));
  }
  for (const PassEntry& entry : batch_.entries) {
    states_.emplace_back(static_cast<int32_t>(entry.new_tokens) * tools.query_heads,
                         static_cast<int32_t>(tools.pool.head_dim_v()));
  }
}

absl::StatusOr<ScopedStep> ChunkedPass::BeginChunk(const Chunk& chunk, uint32_t group) const {
  std::vector<kvp_step_entry> entries;
  for (const ChunkPiece& piece : chunk.pieces) {
    kvp_step_entry wish{};
    wish.seq = batch_.entries[static_cast<size_t>(piece.entry)].seq;
    wish.first_group = group;
    wish.num_groups = 1;
    wish.first_block = piece.first_block;
    wish.num_blocks = piece.num_blocks;
    entries.push_back(wish);
  }
  const uint32_t residency = options_.residency == KVP_SPLIT ? KVP_SPLIT : KVP_RESIDENT;
  return ScopedStep::Begin(tools_.pool, residency, entries);
}

ChunkedPass::Part ChunkedPass::AttendPages(const kernels::PagedKv& kv,
                                           const kernels::AttentionQuery& query,
                                           int32_t first_entry) const {
  Part part{
      first_entry, kv.batch_size,
      kernels::SplitAttention(kv, query, kernels::PlanWork(kv, query, tools_.workers.count()))};
  tools_.workers.Run([&](int32_t worker) { part.attention.Attend(kv, query, worker); });
  return part;
}

void ChunkedPass::Merge(Part part) {
  for (int32_t entry = 0; entry < part.entries; ++entry) {
    states_[static_cast<size_t>(part.first_entry + entry)].Merge(part.attention.MergeEntry(entry));
  }
}

// Only what a step has kept is merged.
absl::Status ChunkedPass::AttendChunk(const Chunk& chunk, ScopedStep step, uint32_t layer,
                                      const LayerInput& input) {
  KVP_RETURN_IF_ERROR(step.Wait(tools_.timeout_us));
  KVP_ASSIGN_OR_RETURN(std::vector<Part> parts, AttendReady(chunk, step, layer, input));
  KVP_RETURN_IF_ERROR(step.Keep());
  for (Part& part : parts) Merge(std::move(part));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ChunkedPass::Part>> ChunkedPass::AttendReady(
    const Chunk& chunk, const ScopedStep& step, uint32_t layer, const LayerInput& input) const {
  std::vector<Part> parts;
  const int32_t first_entry = chunk.pieces.front().entry;
  kernels::AttentionQuery query = QueryOf(tools_, batch_, layer, input);
  query.query_indptr += first_entry;
  query.query_first = batch_.before_tokens.data() + first_entry;
  for (const int32_t tier : {KVP_TIER_HBM, KVP_TIER_HOST}) {
    if (tier == KVP_TIER_HOST && options_.residency != KVP_SPLIT) continue;
    KVP_ASSIGN_OR_RETURN(const kvp_view view,
                         tools_.pool.ViewOf(step.get(), tools_.pool.group_of(layer), tier));
    if (view.indptr[view.batch_size] == 0) continue;
    parts.push_back(AttendPages(tools_.pool.Pages(view, layer, tier), query, first_entry));
  }
  return parts;
}

// Their positions count from the first of them, which windows and drafts do not mind; of the sinks,
// what is left behind the tokens before them.
void ChunkedPass::AttendNewRows(uint32_t layer, const LayerInput& input) {
  if (tools_.windows.of(layer).sinks == 0) {
    Merge(AttendPages(new_rows_.Pages(layer), QueryOf(tools_, batch_, layer, input), 0));
    return;
  }
  for (int32_t entry = 0; entry < batch_.size(); ++entry) {
    kernels::AttentionQuery query = QueryOf(tools_, batch_, layer, input);
    query.query_indptr += entry;
    const int64_t before = batch_.before_tokens[static_cast<size_t>(entry)];
    query.mask.sink_tokens = std::max<int64_t>(0, query.mask.sink_tokens - before);
    Merge(AttendPages(new_rows_.PagesOf(layer, entry), query, entry));
  }
}

void ChunkedPass::KeepRows(uint32_t layer, const LayerInput& input) {
  tools_.workers.Run([&](int32_t worker) {
    for (int32_t entry = worker; entry < batch_.size(); entry += tools_.workers.count()) {
      new_rows_.Write(batch_, layer, input, entry);
    }
  });
}

// The chunks of one layer after those of the layer before: the links have no pause between layers.
absl::Status ChunkedPass::BeginAhead() {
  while (steps_.size() < options_.chunks_ahead) {
    while (ahead_.layer < tools_.pool.geometry().num_layers &&
           ahead_.chunk == ChunksFor(ahead_.layer).size()) {
      ahead_ = {ahead_.layer + 1, 0};
    }
    if (ahead_.layer == tools_.pool.geometry().num_layers) return absl::OkStatus();
    const Chunk& chunk = ChunksFor(ahead_.layer)[ahead_.chunk];
    KVP_ASSIGN_OR_RETURN(ScopedStep step, BeginChunk(chunk, tools_.pool.group_of(ahead_.layer)));
    steps_.push_back({ahead_.layer, std::move(step)});
    ++ahead_.chunk;
  }
  return absl::OkStatus();
}

// What was begun for `layer`, the next one, is not wanted.
void ChunkedPass::SkipLayer(uint32_t layer) {
  while (!steps_.empty() && steps_.front().layer == layer) steps_.pop_front();
  if (ahead_.layer == layer) ahead_ = {layer + 1, 0};
}

absl::Status ChunkedPass::Attend(uint32_t layer, const LayerInput& input,
                                 const kernels::AttentionOutput& output) {
  if (input.query == nullptr) {
    KeepRows(layer, input);
    SkipLayer(layer);
    return absl::OkStatus();
  }
  KVP_RETURN_IF_ERROR(BeginAhead());
  for (kernels::AttentionStates& states : states_) states.Clear();
  // What needs no page of the pool, while the first chunk is on its way.
  KeepRows(layer, input);
  AttendNewRows(layer, input);
  const std::vector<Chunk>& chunks = ChunksFor(layer);
  int tries_left = kTriesMax;
  for (size_t next = 0; next < chunks.size();) {
    ScopedStep step = std::move(steps_.front().step);
    steps_.pop_front();
    const absl::Status attended = AttendChunk(chunks[next], std::move(step), layer, input);
    if (attended.ok()) {
      ++next;
    } else if (absl::IsAborted(attended) && tries_left-- > 0) {
      // SPLIT: a page went while it was read. Again from this chunk on; steps end in order.
      steps_.clear();
      ahead_ = {layer, next};
    } else {
      return attended;
    }
    KVP_RETURN_IF_ERROR(BeginAhead());
  }
  for (int32_t entry = 0; entry < batch_.size(); ++entry) {
    const int64_t row = int64_t{batch_.new_indptr[static_cast<size_t>(entry)]} * tools_.query_heads;
    states_[static_cast<size_t>(entry)].Finish(output.output + row * tools_.pool.head_dim_v(),
                                               output.lse == nullptr ? nullptr : output.lse + row);
  }
  return absl::OkStatus();
}

absl::Status ChunkedPass::End(KeepOrDiscard keep_or_discard) {
  return keep_or_discard == KeepOrDiscard::kKeep ? AppendAll() : absl::OkStatus();
}

absl::Status ChunkedPass::AppendAll() {
  const kvp_geometry& geometry = tools_.pool.geometry();
  // A block of every group at least, and no more than a window's worth.
  const uint32_t blocks =
      std::max(1u, options_.chunk_blocks / std::max(1u, tools_.pool.info().num_groups));
  const int64_t tokens_max = int64_t{blocks} * geometry.page_tokens;
  std::vector<int64_t> first(batch_.entries.size(), 0);
  while (true) {
    std::vector<int64_t> count(first.size(), 0);
    int64_t room = tokens_max;
    for (size_t i = 0; i < first.size(); ++i) {
      count[i] = std::min<int64_t>(room, batch_.entries[i].new_tokens - first[i]);
      room -= count[i];
    }
    if (room == tokens_max) return absl::OkStatus();
    if (const absl::Status appended = AppendSome(first, count); !appended.ok()) {
      TakeBack(first);
      return appended;
    }
    for (size_t i = 0; i < first.size(); ++i) first[i] += count[i];
  }
}

void ChunkedPass::TakeBack(const std::vector<int64_t>& appended) const {
  for (size_t i = 0; i < appended.size(); ++i) {
    if (appended[i] == 0) continue;
    // If that fails too, the next call on the sequence says so.
    static_cast<void>(kvp_seq_truncate(tools_.pool.client(), batch_.entries[i].seq,
                                       static_cast<uint64_t>(batch_.before_tokens[i])) == KVP_OK);
  }
}

absl::Status ChunkedPass::AppendSome(const std::vector<int64_t>& first,
                                     const std::vector<int64_t>& count) {
  std::vector<kvp_step_entry> entries;
  std::vector<int32_t> entry_of;
  for (size_t i = 0; i < count.size(); ++i) {
    if (count[i] == 0) continue;
    kvp_step_entry wish{};
    wish.seq = batch_.entries[i].seq;
    wish.append_tokens = static_cast<uint32_t>(count[i]);
    wish.draft = batch_.drafts() ? 1 : 0;
    wish.num_groups = KVP_ALL;
    entries.push_back(wish);
    entry_of.push_back(static_cast<int32_t>(i));
  }
  KVP_ASSIGN_OR_RETURN(ScopedStep step, ScopedStep::Begin(tools_.pool, KVP_RESIDENT, entries));
  KVP_RETURN_IF_ERROR(step.Wait(tools_.timeout_us));
  const kvp_geometry& geometry = tools_.pool.geometry();
  for (uint32_t layer = 0; layer < geometry.num_layers; ++layer) {
    KVP_ASSIGN_OR_RETURN(const kvp_view view,
                         tools_.pool.ViewOf(step.get(), tools_.pool.group_of(layer), KVP_TIER_HBM));
    const kernels::PagedKv kv = tools_.pool.Pages(view, layer, KVP_TIER_HBM);
    for (size_t i = 0; i < entry_of.size(); ++i) {
      const auto entry = static_cast<size_t>(entry_of[i]);
      new_rows_.CopyTo(layer, entry_of[i], first[entry], count[entry], kv, static_cast<int32_t>(i));
    }
  }
  return step.Keep();
}

}  // namespace kvpager::attention
