// engine_plugin/attention_engine/scoped_step.h
//
// A step of the C ABI that is discarded unless it is ended.
//
// Ownership: the step. Thread-safety: that of its client. Errors: those of the C ABI.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_SCOPED_STEP_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_SCOPED_STEP_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine_plugin/attention_engine/pool_view.h"
#include "engine_plugin/kvpager.h"

namespace kvpager::attention {

class ScopedStep {
 public:
  static absl::StatusOr<ScopedStep> Begin(const PoolView& pool, uint32_t residency,
                                          const std::vector<kvp_step_entry>& entries);
  ScopedStep() = default;
  ~ScopedStep() { Discard(); }
  ScopedStep(ScopedStep&& other) noexcept
      : pool_(other.pool_), step_(std::exchange(other.step_, nullptr)) {}
  ScopedStep& operator=(ScopedStep&& other) noexcept {
    Discard();
    pool_ = other.pool_;
    step_ = std::exchange(other.step_, nullptr);
    return *this;
  }

  kvp_step* get() const { return step_; }
  absl::Status Wait(uint64_t timeout_us) const;
  absl::Status Keep();
  void Discard();

 private:
  ScopedStep(const PoolView& pool, kvp_step* step) : pool_(&pool), step_(step) {}

  const PoolView* pool_ = nullptr;
  kvp_step* step_ = nullptr;
};

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_SCOPED_STEP_H_
