// engine_plugin/attention_engine/resident_pass.h
//
// RESIDENT: one step over all pages of the batch, in HBM from the first layer to the last.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_RESIDENT_PASS_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_RESIDENT_PASS_H_

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine_plugin/attention_engine/pass.h"
#include "engine_plugin/attention_engine/scoped_step.h"
#include "kernels/cpu/split_attention.h"

namespace kvpager::attention {

class ResidentPass : public Pass {
 public:
  static absl::StatusOr<std::unique_ptr<Pass>> Begin(const Tools& tools, Batch batch);

  absl::Status Attend(uint32_t layer, const LayerInput& input,
                      const kernels::AttentionOutput& output) override;
  absl::Status End(KeepOrDiscard keep_or_discard) override;

 private:
  ResidentPass(const Tools& tools, Batch batch, ScopedStep step)
      : tools_(tools),
        batch_(std::move(batch)),
        step_(std::move(step)),
        attention_(tools.windows.kinds().size()) {}
  void Append(const kernels::PagedKv& kv, const LayerInput& input);

  const Tools& tools_;
  const Batch batch_;
  ScopedStep step_;
  // By kind of window; planned with its first layer.
  std::vector<std::optional<kernels::SplitAttention>> attention_;
};

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_RESIDENT_PASS_H_
