#include "engine_plugin/attention_engine/scoped_step.h"

#include "memmgr/base/status_macros.h"

namespace kvpager::attention {

absl::StatusOr<ScopedStep> ScopedStep::Begin(const PoolView& pool, uint32_t residency,
                                             const std::vector<kvp_step_entry>& entries) {
  kvp_step_options options{};
  options.struct_size = sizeof options;
  options.residency = residency;
  kvp_step* step = nullptr;
  KVP_RETURN_IF_ERROR(pool.StatusOf(
      kvp_step_begin(pool.client(), &options, entries.data(), entries.size(), &step)));
  return ScopedStep(pool, step);
}

absl::Status ScopedStep::Wait(uint64_t timeout_us) const {
  return pool_->StatusOf(kvp_step_wait(step_, timeout_us));
}

absl::Status ScopedStep::Keep() {
  return pool_->StatusOf(kvp_step_end(std::exchange(step_, nullptr), KVP_STEP_KEEP));
}

void ScopedStep::Discard() {
  if (step_ == nullptr) return;
  // What it was discarded for is the error that counts.
  static_cast<void>(kvp_step_end(std::exchange(step_, nullptr), KVP_STEP_DISCARD) == KVP_OK);
}

}  // namespace kvpager::attention
