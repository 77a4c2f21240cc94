#include "engine_plugin/attention_engine/attention_engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine_plugin/attention_engine/chunked_pass.h"
#include "engine_plugin/attention_engine/resident_pass.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"

namespace kvpager::attention {
namespace {

// Two are there at once, attended and arriving; the rest is for what comes back and for others.
constexpr uint32_t kChunksInPool = 4;

absl::Status Check(const AttentionEngineOptions& options) {
  if (options.client == nullptr) return absl::InvalidArgumentError("client is null");
  if (options.workers.count() < 1) {
    return absl::InvalidArgumentError("workers is less than 1, which is the caller");
  }
  const uint32_t kv_heads = options.geometry.num_kv_heads;
  if (options.query_heads == 0 || kv_heads == 0 || options.query_heads % kv_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.query_heads, " query heads over ", kv_heads,
                     " K and V heads; make the one a multiple of the other"));
  }
  if (!options.windows.empty() && options.windows.size() != options.geometry.num_layers) {
    return absl::InvalidArgumentError(absl::StrCat(options.windows.size(), " windows for ",
                                                   options.geometry.num_layers,
                                                   " layers; give one for each, or none"));
  }
  for (const Window& window : options.windows) {
    if (window.tokens < 0 || window.sinks < 0) {
      return absl::InvalidArgumentError("a window of less than 0 tokens, or sinks");
    }
  }
  const bool shares_rows = options.geometry.head_dim_v == 0;
  if (shares_rows &&
      (options.head_dim_v == 0 || options.head_dim_v > options.geometry.head_dim_k)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "head_dim_v is ", options.head_dim_v,
        "; where V is the start of K's rows it must be in [1, ", options.geometry.head_dim_k, "]"));
  }
  return absl::OkStatus();
}

}  // namespace

AttentionEngine::AttentionEngine(const AttentionEngineOptions& options, PoolView pool)
    : options_(options),
      tools_{.pool = std::move(pool),
             .workers = options.workers,
             .windows = Windows(options.windows, options.geometry.num_layers),
             .query_heads = static_cast<int32_t>(options.query_heads),
             .scale = options.scale,
             .timeout_us = options.timeout_us} {
  if (tools_.scale == 0) {
    tools_.scale = 1.0f / std::sqrt(static_cast<float>(options.geometry.head_dim_k));
  }
}

absl::StatusOr<std::unique_ptr<AttentionEngine>> AttentionEngine::Create(
    const AttentionEngineOptions& options) {
  KVP_RETURN_IF_ERROR(Check(options));
  KVP_ASSIGN_OR_RETURN(PoolView pool,
                       PoolView::Create(options.client, options.geometry, options.head_dim_v));
  return std::unique_ptr<AttentionEngine>(new AttentionEngine(options, std::move(pool)));
}

absl::StatusOr<Batch> AttentionEngine::MakeBatch(absl::Span<const PassEntry> entries,
                                                 const Drafts& drafts) const {
  if (entries.empty()) return absl::InvalidArgumentError("a pass needs at least one sequence");
  Batch batch;
  batch.new_indptr.push_back(0);
  for (const PassEntry& entry : entries) {
    if (entry.new_tokens == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("sequence ", entry.seq, " gains no token in this pass; leave it out"));
    }
    uint64_t before = 0;
    KVP_RETURN_IF_ERROR(tools_.pool.StatusOf(kvp_seq_length(options_.client, entry.seq, &before)));
    batch.entries.push_back(entry);
    batch.before_tokens.push_back(static_cast<int64_t>(before));
    batch.new_indptr.push_back(batch.new_indptr.back() + static_cast<int32_t>(entry.new_tokens));
  }
  batch.draft_words = drafts.words;
  if (drafts.words > 0) {
    batch.draft_bits.assign(drafts.bits, drafts.bits + int64_t{batch.new_tokens()} * drafts.words);
  }
  return batch;
}

PassSize AttentionEngine::SizeOf(const Batch& batch) const {
  uint64_t blocks = 0;
  for (int32_t i = 0; i < batch.size(); ++i) {
    const auto entry = static_cast<size_t>(i);
    const uint64_t tokens =
        static_cast<uint64_t>(batch.before_tokens[entry]) + batch.entries[entry].new_tokens;
    blocks += CeilDiv(tokens, options_.geometry.page_tokens);
  }
  const kvp_pool_info& info = tools_.pool.info();
  return {.bytes = blocks * info.num_groups * info.frame_bytes_hbm,
          .hbm_bytes = info.frames_hbm / kChunksInPool * 3 * info.frame_bytes_hbm,
          .host_readable = info.frames_host > 0};
}

uint32_t AttentionEngine::ChunkBlocks(Mode mode) const {
  if (options_.chunk_blocks != 0) return options_.chunk_blocks;
  const kvp_pool_info& info = tools_.pool.info();
  const uint32_t frames =
      mode == Mode::kSplit ? std::max(info.frames_host, info.frames_hbm) : info.frames_hbm;
  return std::max(1u, frames / kChunksInPool);
}

absl::Status AttentionEngine::BeginPass(Mode mode, absl::Span<const PassEntry> entries,
                                        const Drafts& drafts) {
  KVP_CHECK(pass_ == nullptr);
  KVP_ASSIGN_OR_RETURN(Batch batch, MakeBatch(entries, drafts));
  choice_ = {mode, "asked for"};
  if (mode == Mode::kAuto) {
    if (rates_.attend == 0) {
      rates_ = MeasureRates(tools_.pool, tools_.workers, tools_.query_heads);
    }
    choice_ = ChooseMode(rates_, SizeOf(batch));
  }
  next_layer_ = 0;
  if (choice_.mode == Mode::kResident) {
    KVP_ASSIGN_OR_RETURN(pass_, ResidentPass::Begin(tools_, std::move(batch)));
    return absl::OkStatus();
  }
  const ChunkedOptions options = {
      .residency = static_cast<uint32_t>(choice_.mode == Mode::kSplit ? KVP_SPLIT : KVP_STREAMED),
      .chunk_blocks = ChunkBlocks(choice_.mode)};
  pass_ = std::make_unique<ChunkedPass>(tools_, std::move(batch), options);
  return absl::OkStatus();
}

absl::Status AttentionEngine::AttendLayer(uint32_t layer, const LayerInput& input,
                                          const kernels::AttentionOutput& output) {
  KVP_CHECK(pass_ != nullptr);
  KVP_CHECK_EQ(layer, next_layer_);
  ++next_layer_;
  return pass_->Attend(layer, input, output);
}

absl::Status AttentionEngine::EndPass(KeepOrDiscard keep_or_discard) {
  KVP_CHECK(pass_ != nullptr);
  if (keep_or_discard == KeepOrDiscard::kKeep) {
    KVP_CHECK_EQ(next_layer_, options_.geometry.num_layers);
  }
  const std::unique_ptr<Pass> pass = std::move(pass_);
  return pass->End(keep_or_discard);
}

}  // namespace kvpager::attention
