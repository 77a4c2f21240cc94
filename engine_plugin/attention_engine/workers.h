// engine_plugin/attention_engine/workers.h
//
// The caller's threads, as the attention engine uses them: it starts none.
//
// Thread-safety: one caller of Run at a time. Errors: none.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_WORKERS_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_WORKERS_H_

#include <cstdint>
#include <functional>
#include <utility>

namespace kvpager::attention {

class Workers {
 public:
  using Work = std::function<void(int32_t)>;

  // The thread that calls Run, alone.
  Workers() = default;
  // `run` calls its argument with 0 to count - 1, at once, and returns when all have returned.
  Workers(int32_t count, std::function<void(const Work&)> run)
      : count_(count), run_(std::move(run)) {}

  int32_t count() const { return count_; }
  void Run(const Work& work) const { run_ == nullptr ? work(0) : run_(work); }

 private:
  int32_t count_ = 1;
  std::function<void(const Work&)> run_;
};

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_WORKERS_H_
