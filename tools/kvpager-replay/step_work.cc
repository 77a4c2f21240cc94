#include "tools/kvpager-replay/step_work.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/reference/attend.h"
#include "tools/kvpager-replay/random.h"

namespace kvpager::replay {
namespace {

constexpr uint32_t kNowhere = ~uint32_t{0};
constexpr uint64_t kMismatchesToldMax = 10;
constexpr float kAttentionTolerance = 1e-4f;  // Of outputs below 0.5; docs/KERNELS.md.
constexpr float kContentMax = 0.5f;           // Of any element: outputs are means of them.

uint32_t TokensIn(uint32_t block, uint64_t sequence_tokens, uint32_t page_tokens) {
  const uint64_t first = uint64_t{block} * page_tokens;
  if (sequence_tokens <= first) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(sequence_tokens - first, page_tokens));
}

// K or V of one layer of one page, tokens [first, end).
ContentRows RowsOf(const kernels::PagedKv& kv, KvPart part, uint64_t identity, uint32_t layer) {
  ContentRows rows;
  rows.identity = identity;
  rows.layer = layer;
  rows.part = part;
  rows.heads = static_cast<uint32_t>(kv.kv_heads);
  rows.head_dim = static_cast<uint32_t>(part == KvPart::kK ? kv.head_dim_k : kv.head_dim_v);
  rows.strides = part == KvPart::kK ? kv.k : kv.v;
  return rows;
}

uint16_t* PageOf(const kernels::PagedKv& kv, KvPart part, uint32_t frame) {
  auto* base = static_cast<uint16_t*>(part == KvPart::kK ? kv.k_data : kv.v_data);
  return base + int64_t{frame} * (part == KvPart::kK ? kv.k.page : kv.v.page);
}

}  // namespace

std::string ViewFault(const Engine& engine, const RequestRun& run, const kvp_view& view) {
  const BlockRange& part = run.part();
  if (view.batch_size != 1) return absl::StrCat("batch_size is ", view.batch_size);
  const int32_t count = view.indptr[1] - view.indptr[0];
  if (view.indptr[0] != 0 || count != static_cast<int32_t>(part.count)) {
    return absl::StrCat("it lists ", count, " pages instead of ", part.count);
  }
  for (int32_t i = 0; i < count; ++i) {
    if (view.positions[i] != static_cast<int32_t>(part.first) + i) {
      return absl::StrCat("page ", i, " has position ", view.positions[i]);
    }
    if (view.indices[i] < 0 || static_cast<uint32_t>(view.indices[i]) >= engine.pool().frames_hbm) {
      return absl::StrCat("page ", i, " is in frame ", view.indices[i]);
    }
  }
  const uint32_t last = TokensIn(part.first + part.count - 1, run.tokens() + run.append_tokens(),
                                 engine.geometry().page_tokens);
  if (view.last_page_len[0] != static_cast<int32_t>(last)) {
    return absl::StrCat("last_page_len is ", view.last_page_len[0], " instead of ", last);
  }
  return "";
}

StepWork::StepWork(const Options& options, Metrics& metrics)
    : options_(options),
      metrics_(metrics),
      states_(static_cast<int32_t>(options.query_heads),
              static_cast<int32_t>(options.geometry.head_dim_v)),
      query_(size_t{options.query_heads} * options.geometry.head_dim_k),
      output_(size_t{options.query_heads} * options.geometry.head_dim_v),
      lse_(options.query_heads),
      reference_output_(output_.size()),
      reference_lse_(lse_.size()) {}

void StepWork::ForgetFrames(uint32_t frames_hbm) { frame_content_.assign(frames_hbm, 0); }

absl::Status StepWork::Perform(const Engine& engine, RequestRun& run, const kvp_step_times& times) {
  times_ = times;
  if (run.is_decode() && run.at_first_part()) {
    checks_attention_ = decode_steps_++ % options_.check_every == 0;
  }
  for (uint32_t group = 0; group < engine.pool().num_groups; ++group) {
    kvp_view view = {};
    view.struct_size = sizeof view;
    const kvp_status code = kvp_step_view(run.step, group, KVP_TIER_HBM, &view);
    if (code != KVP_OK) return engine.StatusOf(code);
    if (const std::string fault = ViewFault(engine, run, view); !fault.empty()) {
      if (MayTell(++metrics_.pages_mismatched)) {
        std::fprintf(stderr, "\nwrong view: request %u, group %u: %s\n", run.index(), group,
                     fault.c_str());
      }
      continue;
    }
    WorkOnGroup(engine, run, view, group);
  }
  return absl::OkStatus();
}

void StepWork::WorkOnGroup(const Engine& engine, RequestRun& run, const kvp_view& view,
                           uint32_t group) {
  const bool appends = run.at_last_part();
  const bool compares_later = appends && run.is_final();
  if (!compares_later) ComparePages(engine, run, view, group, When::kBeforeWriting);
  if (appends) WriteTokens(engine, run, view, group);
  if (run.is_decode()) {
    const uint32_t layers = engine.geometry().layers_per_page;
    for (uint32_t i = 0; i < layers; ++i) Attend(engine, run, view, group * layers + i);
  }
  if (compares_later) ComparePages(engine, run, view, group, When::kAfterWriting);
}

void StepWork::ComparePages(const Engine& engine, RequestRun& run, const kvp_view& view,
                            uint32_t group, When when) {
  const uint64_t sequence_tokens =
      run.tokens() + (when == When::kAfterWriting ? run.append_tokens() : 0);
  for (int32_t i = 0; i < view.indptr[1]; ++i) {
    PagePlace page;
    page.block = static_cast<uint32_t>(view.positions[i]);
    page.group = group;
    page.frame = static_cast<uint32_t>(view.indices[i]);
    page.tokens = TokensIn(page.block, sequence_tokens, engine.geometry().page_tokens);
    if (page.tokens == 0 || !MustCompare(page, run)) continue;
    ++metrics_.pages_verified;
    const bool right = Compare(engine, view, run, page);
    if (!right) ++metrics_.pages_mismatched;
    run.VerifiedIn(page.block, group) = right ? page.frame : kNowhere;
    frame_content_[page.frame] = MixTogether(run.IdentityOf(page.block), group);
  }
}

bool StepWork::MustCompare(const PagePlace& page, RequestRun& run) const {
  return run.is_final() || run.VerifiedIn(page.block, page.group) != page.frame ||
         times_.promoted_host_pages + times_.promoted_nvme_pages > 0 ||
         frame_content_[page.frame] != MixTogether(run.IdentityOf(page.block), page.group);
}

bool StepWork::Compare(const Engine& engine, const kvp_view& view, const RequestRun& run,
                       const PagePlace& page) {
  const uint32_t layers = engine.geometry().layers_per_page;
  for (uint32_t layer = page.group * layers; layer < (page.group + 1) * layers; ++layer) {
    const kernels::PagedKv kv = engine.LayerOf(view, layer);
    for (const KvPart part : {KvPart::kK, KvPart::kV}) {
      ContentRows rows = RowsOf(kv, part, run.IdentityOf(page.block), layer);
      rows.token_end = page.tokens;
      const uint16_t* data = PageOf(kv, part, page.frame);
      if (ContentMatches(rows, data)) continue;
      TellMismatch(run, page, rows, FindMismatch(rows, data));
      return false;
    }
  }
  return true;
}

void StepWork::WriteTokens(const Engine& engine, RequestRun& run, const kvp_view& view,
                           uint32_t group) {
  const uint32_t page_tokens = engine.geometry().page_tokens;
  const uint32_t layers = engine.geometry().layers_per_page;
  for (int32_t i = 0; i < view.indptr[1]; ++i) {
    const auto block = static_cast<uint32_t>(view.positions[i]);
    const auto frame = static_cast<uint32_t>(view.indices[i]);
    const uint32_t before = TokensIn(block, run.tokens(), page_tokens);
    const uint32_t after = TokensIn(block, run.tokens() + run.append_tokens(), page_tokens);
    if (before == after) continue;
    for (uint32_t layer = group * layers; layer < (group + 1) * layers; ++layer) {
      const kernels::PagedKv kv = engine.LayerOf(view, layer);
      for (const KvPart part : {KvPart::kK, KvPart::kV}) {
        ContentRows rows = RowsOf(kv, part, run.IdentityOf(block), layer);
        rows.token_first = before;
        rows.token_end = after;
        WriteContent(rows, PageOf(kv, part, frame));
      }
    }
    run.VerifiedIn(block, group) = kNowhere;  // The next step sees whether it is still there.
    frame_content_[frame] = MixTogether(run.IdentityOf(block), group);
  }
}

kernels::AttentionQuery StepWork::query() const {
  return {query_.data(), static_cast<int32_t>(options_.query_heads),
          1.0f / std::sqrt(static_cast<float>(options_.geometry.head_dim_k))};
}

void StepWork::MakeQuery(const RequestRun& run, uint32_t layer) {
  const uint64_t row = MixTogether(run.index(), MixTogether(run.tokens(), layer));
  for (uint32_t i = 0; i < query_.size(); ++i) {
    query_[i] = 8.0f * kernels::F16ToFloat(ContentElement(row, i));
  }
}

void StepWork::Attend(const Engine& engine, RequestRun& run, const kvp_view& view, uint32_t layer) {
  const kernels::PagedKv kv = engine.LayerOf(view, layer);
  MakeQuery(run, layer);
  states_.Clear();
  kernels::CpuAttendRange(kv, query(), 0, {0, kernels::TokenCount(kv, 0)}, states_);
  states_.Finish(output_.data(), lse_.data());
  if (checks_attention_) CheckAttention(run, kv, layer);
  if (run.in_parts()) {
    if (run.at_first_part()) {
      run.attention_so_far.resize(engine.geometry().num_layers);
      run.attention_so_far[layer] = std::make_unique<kernels::AttentionStates>(
          static_cast<int32_t>(options_.query_heads), kv.head_dim_v);
    }
    run.attention_so_far[layer]->Merge(states_);
    run.attention_so_far[layer]->Finish(output_.data(), lse_.data());
  }
  // Every output is a mean of rows of V.
  bool possible = true;
  for (const float value : output_) possible &= std::fabs(value) <= kContentMax;
  if (!possible && MayTell(++metrics_.attention_mismatched)) {
    std::fprintf(stderr, "\nwrong attention: request %u, token %llu, layer %u: out of range\n",
                 run.index(), static_cast<unsigned long long>(run.tokens()), layer);
  }
}

void StepWork::CheckAttention(const RequestRun& run, const kernels::PagedKv& kv, uint32_t layer) {
  kernels::ReferenceAttend(kv, query(), {reference_output_.data(), reference_lse_.data()});
  ++metrics_.attention_checked;
  float worst = 0;
  const auto note = [&worst](float error) {
    if (!(error <= worst)) worst = error;  // NaN stays.
  };
  for (size_t i = 0; i < output_.size(); ++i) note(std::fabs(output_[i] - reference_output_[i]));
  for (size_t i = 0; i < lse_.size(); ++i) {
    note(std::fabs(lse_[i] - reference_lse_[i]) / std::fmax(1.0f, std::fabs(reference_lse_[i])));
  }
  if (worst <= kAttentionTolerance) return;
  if (MayTell(++metrics_.attention_mismatched)) {
    std::fprintf(stderr,
                 "\nwrong attention: request %u, token %llu, layer %u: off by %g, more than %g\n",
                 run.index(), static_cast<unsigned long long>(run.tokens()), layer,
                 static_cast<double>(worst), static_cast<double>(kAttentionTolerance));
  }
}

bool StepWork::MayTell(uint64_t count) const { return count <= kMismatchesToldMax; }

void StepWork::TellMismatch(const RequestRun& run, const PagePlace& page, const ContentRows& rows,
                            const ContentPlace& place) {
  if (!MayTell(metrics_.pages_mismatched + 1)) return;
  const std::string id = run.trace_id(page.block) == ~uint64_t{0}
                             ? std::string("private to the request")
                             : absl::StrCat("trace id ", run.trace_id(page.block));
  const std::string origin =
      times_.promoted_host_pages + times_.promoted_nvme_pages == 0
          ? std::string("it was in hbm when the step began")
          : absl::StrCat("the step brought ", times_.promoted_host_pages, " pages from host and ",
                         times_.promoted_nvme_pages, " from nvme");
  const std::string text = absl::StrFormat(
      "\nmismatch: request %u, block %u (%s, %s), layer %u, head %u, token %u: %s[%u] is 0x%04x "
      "instead of 0x%04x, in hbm frame %u; %s\n",
      run.index(), page.block, id, run.was_reused(page.block) ? "reused" : "written by the request",
      rows.layer, place.head, place.token, rows.part == KvPart::kK ? "K" : "V", place.element,
      place.found, place.expected, page.frame, origin);
  std::fputs(text.c_str(), stderr);
}

}  // namespace kvpager::replay
