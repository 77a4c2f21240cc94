#include "engine_plugin/attention_engine/resident_pass.h"

#include <utility>
#include <vector>

#include "kernels/cpu/append.h"
#include "kernels/work_plan.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::attention {

absl::StatusOr<std::unique_ptr<Pass>> ResidentPass::Begin(const Tools& tools, Batch batch) {
  std::vector<kvp_step_entry> entries;
  for (const PassEntry& entry : batch.entries) {
    kvp_step_entry wish{};
    wish.seq = entry.seq;
    wish.append_tokens = entry.new_tokens;
    wish.draft = batch.drafts() ? 1 : 0;
    wish.num_groups = wish.num_blocks = KVP_ALL;
    entries.push_back(wish);
  }
  KVP_ASSIGN_OR_RETURN(ScopedStep step, ScopedStep::Begin(tools.pool, KVP_RESIDENT, entries));
  KVP_RETURN_IF_ERROR(step.Wait(tools.timeout_us));
  return std::unique_ptr<Pass>(new ResidentPass(tools, std::move(batch), std::move(step)));
}

void ResidentPass::Append(const kernels::PagedKv& kv, const LayerInput& input) {
  tools_.workers.Run([&](int32_t worker) {
    for (int32_t entry = worker; entry < batch_.size(); entry += tools_.workers.count()) {
      kernels::CpuAppend(kv, entry, NewTokensOf(batch_, input, entry, kv));
    }
  });
}

absl::Status ResidentPass::Attend(uint32_t layer, const LayerInput& input,
                                  const kernels::AttentionOutput& output) {
  const uint32_t group = tools_.pool.group_of(layer);
  KVP_ASSIGN_OR_RETURN(const kvp_view view, tools_.pool.ViewOf(step_.get(), group, KVP_TIER_HBM));
  const kernels::PagedKv kv = tools_.pool.Pages(view, layer, KVP_TIER_HBM);
  Append(kv, input);
  if (input.query == nullptr) return absl::OkStatus();
  const kernels::AttentionQuery query = QueryOf(tools_, batch_, layer, input);
  // The lengths are those of every layer: planned once for each kind of window.
  std::optional<kernels::SplitAttention>& attention = attention_[tools_.windows.kind_of(layer)];
  if (!attention.has_value()) {
    attention.emplace(kv, query, kernels::PlanWork(kv, query, tools_.workers.count()));
  }
  tools_.workers.Run([&](int32_t worker) { attention->Attend(kv, query, worker); });
  tools_.workers.Run([&](int32_t worker) { attention->Finish(query, output, worker); });
  return absl::OkStatus();
}

absl::Status ResidentPass::End(KeepOrDiscard keep_or_discard) {
  if (keep_or_discard == KeepOrDiscard::kKeep) return step_.Keep();
  step_.Discard();
  return absl::OkStatus();
}

}  // namespace kvpager::attention
