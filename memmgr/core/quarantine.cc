#include "memmgr/core/quarantine.h"

#include <cstdint>

#include "memmgr/base/check.h"

namespace kvpager {

Quarantine::Quarantine(uint32_t frames_max, uint32_t clients_max)
    : next_(frames_max, kNone), name_spaces_(frames_max), clients_(clients_max) {}

void Quarantine::Add(ClientId client, FrameIndex frame, NamespaceId name_space) {
  KVP_CHECK(keeps(client));
  Kept& kept = of(client);
  name_spaces_[frame.value] = name_space;
  next_[frame.value] = kept.first;
  kept.first = frame.value;
  ++kept.count;
  ++count_;
}

}  // namespace kvpager
