// engine_plugin/sequence_table.h
//
// The sequences of a client by handle. Handles are slots of the daemon, or numbers of forks: their
// low bits are close together, so a small table that these index knows nearly all of them, and
// finding one costs a load. A hash table has them all.
//
// Ownership: has the sequences. Thread-safety: none.

#ifndef KVPAGER_ENGINE_PLUGIN_SEQUENCE_TABLE_H_
#define KVPAGER_ENGINE_PLUGIN_SEQUENCE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine_plugin/sequence.h"

namespace kvpager::engine {

class SequenceTable {
 public:
  // Null if there is none.
  Sequence* Find(uint64_t handle) {
    const Known& known = known_[handle & (known_.size() - 1)];
    return known.handle == handle ? known.sequence : FindInAll(handle);
  }

  // Asks the cache for what beginning a step with it touches, if it is one that the low bits tell.
  void Prefetch(uint64_t handle) const {
    const Sequence* const sequence = known_[handle & (known_.size() - 1)].sequence;
    if (sequence != nullptr) sequence->Prefetch();
  }

  // REQUIRES: its handle is not 0 and not taken.
  void Add(std::unique_ptr<Sequence> sequence);
  void Erase(uint64_t handle);

  // In no order.
  template <typename Visit>
  void ForEach(const Visit& visit) {
    for (auto& [handle, sequence] : all_) visit(*sequence);
  }

 private:
  struct Known {
    uint64_t handle = 0;
    Sequence* sequence = nullptr;
  };
  static constexpr size_t kKnownMin = 64;

  Sequence* FindInAll(uint64_t handle);

  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> all_;
  std::vector<Known> known_ = std::vector<Known>(kKnownMin);  // By the low bits; a power of two.
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_SEQUENCE_TABLE_H_
