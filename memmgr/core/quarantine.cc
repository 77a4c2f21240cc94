#include "memmgr/core/quarantine.h"

#include <cstdint>

#include "memmgr/base/check.h"

namespace kvpager {

Quarantine::Quarantine(uint32_t frames_max, uint32_t clients_max)
    : next_(frames_max, kNone), clients_(clients_max) {}

void Quarantine::Add(ClientId client, FrameIndex frame) {
  KVP_CHECK(keeps(client));
  Kept& kept = of(client);
  next_[frame.value] = kept.first;
  kept.first = frame.value;
  ++kept.count;
  ++count_;
}

}  // namespace kvpager
