// memmgr/core/quarantine.h
//
// Frames that a revoked engine could write. Its process may live on and write them at any time, and
// nothing that it maps can be taken back: nobody gets them until it is gone.
//
// Thread-safety: none. No allocation after construction.

#ifndef KVPAGER_MEMMGR_CORE_QUARANTINE_H_
#define KVPAGER_MEMMGR_CORE_QUARANTINE_H_

#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"

namespace kvpager {

class Quarantine {
 public:
  Quarantine(uint32_t frames_max, uint32_t clients_max);

  // From now on what `client` could write goes here. REQUIRES: it is not revoked.
  void Begin(ClientId client) { of(client).revoked = true; }
  // True for nobody (a client of none).
  bool keeps(ClientId client) const { return !client.is_none() && clients_[client.value].revoked; }
  // REQUIRES: keeps(client), and the frame is not here.
  void Add(ClientId client, FrameIndex frame, NamespaceId name_space);
  // The engine is gone: calls `free(frame, namespace)` for each of its frames.
  template <typename Free>
  void End(ClientId client, Free free);

  // Calls `visit(namespace)` for each frame. O(clients and frames here).
  template <typename Visit>
  void ForEach(Visit visit) const;

  uint32_t count() const { return count_; }
  uint32_t count_of(ClientId client) const { return clients_[client.value].count; }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};

  struct Kept {
    bool revoked = false;
    uint32_t first = kNone;
    uint32_t count = 0;
  };

  Kept& of(ClientId client) { return clients_[client.value]; }

  std::vector<uint32_t> next_;            // By frame.
  std::vector<NamespaceId> name_spaces_;  // By frame.
  std::vector<Kept> clients_;             // By slot.
  uint32_t count_ = 0;
};

template <typename Free>
void Quarantine::End(ClientId client, Free free) {
  for (uint32_t frame = of(client).first; frame != kNone;) {
    const uint32_t next = next_[frame];
    free(FrameIndex{frame}, name_spaces_[frame]);
    frame = next;
  }
  count_ -= of(client).count;
  of(client) = Kept{};
}

template <typename Visit>
void Quarantine::ForEach(Visit visit) const {
  for (const Kept& kept : clients_) {
    for (uint32_t frame = kept.first; frame != kNone; frame = next_[frame]) {
      visit(name_spaces_[frame]);
    }
  }
}

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_QUARANTINE_H_
