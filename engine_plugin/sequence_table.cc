#include "engine_plugin/sequence_table.h"

#include <utility>

#include "memmgr/base/check.h"

namespace kvpager::engine {
namespace {

constexpr size_t kSlotsPerSequence = 4;  // So that few share one.

}  // namespace

void SequenceTable::Add(std::unique_ptr<Sequence> sequence) {
  const uint64_t handle = sequence->handle();
  Sequence* const added = sequence.get();
  const bool is_new = handle != 0 && all_.emplace(handle, std::move(sequence)).second;
  KVP_CHECK(is_new);
  const size_t slots = known_.size();
  if (all_.size() * kSlotsPerSequence > slots) known_.assign(slots * 2, Known{});
  known_[handle & (known_.size() - 1)] = Known{handle, added};
}

void SequenceTable::Erase(uint64_t handle) {
  Known& known = known_[handle & (known_.size() - 1)];
  if (known.handle == handle) known = Known{};
  all_.erase(handle);
}

Sequence* SequenceTable::FindInAll(uint64_t handle) {
  const auto found = all_.find(handle);
  if (found == all_.end()) return nullptr;
  known_[handle & (known_.size() - 1)] = Known{handle, found->second.get()};
  return found->second.get();
}

}  // namespace kvpager::engine
