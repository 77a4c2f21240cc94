#include "tools/kvpager-decode/decode_run.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"
#include "tools/support/clock.h"

namespace kvpager::decode {
namespace {

using attention::KeepOrDiscard;
using attention::Mode;
using attention::PassEntry;

constexpr uint32_t kPrefillTokens = 512;
constexpr uint64_t kPrefillSamples = 3;  // Chunks that are attended, unless all are.
constexpr uint32_t kSamplesPerChunk = 4;

// Numbers without a pattern that a fault could share.
constexpr uint64_t kStride = 0x9e3779b97f4a7c15u;

}  // namespace

std::string NameOf(Mode mode) {
  switch (mode) {
    case Mode::kResident:
      return "resident";
    case Mode::kStreamed:
      return "streamed";
    case Mode::kSplit:
      return "split";
    case Mode::kAuto:
      return "auto";
  }
  return "";
}

DecodeRun::DecodeRun(const Options& options, Served& served, PlainLinks* plain, Progress progress)
    : options_(options),
      served_(served),
      plain_(plain),
      progress_(std::move(progress)),
      content_(options.model, options.seed),
      layers_(options.model.geometry.num_layers) {}

void DecodeRun::Generate(uint64_t token, uint32_t count, Attend attend) {
  const ModelShape& model = options_.model;
  const kvp_geometry& geometry = model.geometry;
  const size_t kv_rows = size_t{count} * geometry.num_kv_heads;
  for (uint32_t layer = 0; layer < geometry.num_layers; ++layer) {
    Rows& rows = layers_[layer];
    rows.k.resize(kv_rows * geometry.head_dim_k);
    rows.v.resize(kv_rows * geometry.head_dim_v);
    for (size_t row = 0; row < kv_rows; ++row) {
      const auto head = static_cast<uint32_t>(row % geometry.num_kv_heads);
      const uint64_t position = token + row / geometry.num_kv_heads;
      content_.K(layer, position, head, rows.k.data() + row * geometry.head_dim_k);
      if (geometry.head_dim_v == 0) continue;
      content_.V(layer, position, head, rows.v.data() + row * geometry.head_dim_v);
    }
    if (attend == Attend::kNo) continue;
    const size_t query_rows = size_t{count} * model.query_heads;
    rows.query.resize(query_rows * geometry.head_dim_k);
    rows.output.assign(query_rows * model.head_dim_v, std::numeric_limits<float>::quiet_NaN());
    for (size_t row = 0; row < query_rows; ++row) {
      content_.Query(layer, token + row / model.query_heads,
                     static_cast<uint32_t>(row % model.query_heads),
                     rows.query.data() + row * geometry.head_dim_k);
    }
  }
}

absl::Status DecodeRun::RunPass(Mode mode, uint32_t count, Attend attend) {
  attention::AttentionEngine& engine = served_.engine();
  const PassEntry entry{served_.seq(), count};
  KVP_RETURN_IF_ERROR(engine.BeginPass(mode, {&entry, 1}));
  for (uint32_t layer = 0; layer < options_.model.geometry.num_layers; ++layer) {
    Rows& rows = layers_[layer];
    const attention::LayerInput input{attend == Attend::kYes ? rows.query.data() : nullptr,
                                      rows.k.data(), rows.v.data()};
    const absl::Status attended =
        engine.AttendLayer(layer, input, {.output = rows.output.data(), .lse = nullptr});
    if (attended.ok()) continue;
    engine.EndPass(KeepOrDiscard::kDiscard).IgnoreError();
    return attended;
  }
  return engine.EndPass(KeepOrDiscard::kKeep);
}

void DecodeRun::TakeSamples(uint64_t token, uint32_t count, uint32_t samples) {
  const ModelShape& model = options_.model;
  for (uint32_t i = 0; i < samples; ++i) {
    const uint64_t random = ++sampled_ * kStride >> 16;
    Sample sample;
    sample.layer = static_cast<uint32_t>(random % model.geometry.num_layers);
    sample.query_head = static_cast<uint32_t>((random >> 12) % model.query_heads);
    // The last row of a chunk is always among them.
    const uint32_t row = i == 0 ? count - 1 : static_cast<uint32_t>((random >> 24) % count);
    sample.token = token + row;
    const float* const output =
        layers_[sample.layer].output.data() +
        (size_t{row} * model.query_heads + sample.query_head) * model.head_dim_v;
    sample.output.assign(output, output + model.head_dim_v);
    samples_.push_back(std::move(sample));
  }
}

absl::Status DecodeRun::Check(ModeFigures& figures) {
  for (const Sample& sample : samples_) {
    const double error = LargestError(options_.model, content_, sample);
    figures.worst_error = std::max(figures.worst_error, error);
    ++figures.checked;
    const double share =
        static_cast<double>(figures.checked) / static_cast<double>(samples_.size());
    if (!progress_(absl::StrCat(figures.name, ", checking"), share)) {
      return absl::CancelledError("stopped");
    }
  }
  samples_.clear();
  return absl::OkStatus();
}

absl::StatusOr<ModeFigures> DecodeRun::Prefill(uint64_t context_tokens) {
  ModeFigures figures;
  figures.name = "prefill";
  const uint32_t page_tokens = options_.model.geometry.page_tokens;
  const uint64_t chunk_tokens = std::max(kPrefillTokens / page_tokens, 1u) * page_tokens;
  const uint64_t chunks = CeilDiv(context_tokens, chunk_tokens);
  const uint64_t every = std::max<uint64_t>(1, chunks / kPrefillSamples);
  for (uint64_t chunk = 0; chunk < chunks; ++chunk) {
    const auto count =
        static_cast<uint32_t>(std::min(chunk_tokens, context_tokens - length_tokens_));
    const bool attended = options_.full_prefill || (chunk + 1) % every == 0;
    const Attend attend = attended ? Attend::kYes : Attend::kNo;
    Generate(length_tokens_, count, attend);
    TokenFigures one;
    const uint64_t begin_ns = tools::NowNs();
    KVP_RETURN_IF_ERROR(RunPass(Mode::kStreamed, count, attend));
    one.seconds = static_cast<double>(tools::NowNs() - begin_ns) / 1e9;
    figures.tokens.push_back(one);
    if ((chunk + 1) % every == 0) TakeSamples(length_tokens_, count, kSamplesPerChunk);
    length_tokens_ += count;
    const double share = static_cast<double>(chunk + 1) / static_cast<double>(chunks);
    if (!progress_(figures.name, share)) return absl::CancelledError("stopped");
  }
  figures.context_tokens = length_tokens_;
  KVP_RETURN_IF_ERROR(Check(figures));
  return figures;
}

absl::Status DecodeRun::CompareWithPlain(TokenFigures& figures) {
  if (plain_ == nullptr) return absl::OkStatus();
  KVP_ASSIGN_OR_RETURN(const tools::DaemonStatus status, served_.Ask());
  KVP_ASSIGN_OR_RETURN(figures.plain_nvme_seconds,
                       plain_->ReadNvme(figures.nvme_bytes, status.Counter("nvme_written_bytes")));
  figures.plain_copy_seconds = plain_->Copy(figures.copied_bytes);
  return absl::OkStatus();
}

absl::StatusOr<ModeFigures> DecodeRun::Decode(Mode mode) {
  ModeFigures figures;
  figures.name = NameOf(mode);
  figures.context_tokens = length_tokens_;
  const uint32_t check_every = std::max(1u, options_.decode_tokens / std::max(1u, options_.checks));
  for (uint32_t i = 0; i < options_.decode_tokens; ++i) {
    Generate(length_tokens_, 1, Attend::kYes);
    KVP_ASSIGN_OR_RETURN(const tools::DaemonStatus before, served_.Ask());
    TokenFigures one;
    const uint64_t begin_ns = tools::NowNs();
    KVP_RETURN_IF_ERROR(RunPass(mode, 1, Attend::kYes));
    one.seconds = static_cast<double>(tools::NowNs() - begin_ns) / 1e9;
    KVP_ASSIGN_OR_RETURN(const tools::DaemonStatus after, served_.Ask());
    const auto grown = [&](const char* name) { return after.Counter(name) - before.Counter(name); };
    one.nvme_bytes = grown("nvme_read_bytes");
    one.copied_bytes = grown("moved_bytes_host_to_hbm");
    if (options_.checks > 0 && (i + 1) % check_every == 0) TakeSamples(length_tokens_, 1, 1);
    ++length_tokens_;
    KVP_RETURN_IF_ERROR(CompareWithPlain(one));
    figures.tokens.push_back(one);
    const double share = static_cast<double>(i + 1) / options_.decode_tokens;
    if (!progress_(figures.name, share)) return absl::CancelledError("stopped");
  }
  KVP_RETURN_IF_ERROR(Check(figures));
  return figures;
}

}  // namespace kvpager::decode
