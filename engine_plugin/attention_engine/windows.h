// engine_plugin/attention_engine/windows.h
//
// Which layers of a model look at a sliding window only, and at how many first tokens beside it
// (sinks). Layers with the same window share plans and chunks.
//
// Units: tokens. Ownership: values. Thread-safety: const calls. Errors: none.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_WINDOWS_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_WINDOWS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kvpager::attention {

struct Window {
  int64_t tokens = 0;  // How many a query sees, itself included; 0: all before it.
  int64_t sinks = 0;   // Of the first tokens, seen too.

  friend bool operator==(const Window&, const Window&) = default;
};

class Windows {
 public:
  // `by_layer` empty: all layers see everything.
  Windows(const std::vector<Window>& by_layer, uint32_t num_layers) : kind_of_(num_layers, 0) {
    if (by_layer.empty()) kinds_.emplace_back();
    for (uint32_t layer = 0; layer < by_layer.size(); ++layer) {
      size_t kind = 0;
      while (kind < kinds_.size() && kinds_[kind] != by_layer[layer]) ++kind;
      if (kind == kinds_.size()) kinds_.push_back(by_layer[layer]);
      kind_of_[layer] = kind;
    }
  }

  // The different windows there are, and which of them a layer has.
  const std::vector<Window>& kinds() const { return kinds_; }
  size_t kind_of(uint32_t layer) const { return kind_of_[layer]; }
  const Window& of(uint32_t layer) const { return kinds_[kind_of_[layer]]; }

 private:
  std::vector<Window> kinds_;
  std::vector<size_t> kind_of_;
};

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_WINDOWS_H_
