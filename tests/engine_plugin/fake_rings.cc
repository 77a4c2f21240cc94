#include "tests/engine_plugin/fake_rings.h"

#include <string>
#include <utility>

#include "memmgr/base/check.h"

namespace kvpager::engine {

UniqueFd FakeRings::Give(AttachReply& reply, std::vector<int>& fds) {
  auto region = RingPort::MakeRegion();
  auto bells = Doorbell::MakePair();
  KVP_CHECK(region.ok() && bells.ok());
  fds.push_back(region->fd());
  fds.push_back(bells->second.get());
  reply.regions.push_back({std::string(kRegionRing), kRingRegionBytes, true});
  reply.regions.push_back({std::string(kRegionDoorbell), 0, false});
  ports_.emplace("ring " + std::to_string(++newest_),
                 RingPort(*std::move(region), std::move(bells->first), RingSide::kDaemon));
  return std::move(bells->second);
}

void FakeRings::Receive(std::deque<IncomingMessage>& messages) {
  for (auto at = ports_.begin(); at != ports_.end();) {
    RingPort& port = at->second;
    port.Awake();
    const bool is_there = port.Silence();
    KVP_CHECK(port.Pump().ok());
    IncomingMessage message{at->first, {}};
    while (true) {
      const absl::StatusOr<bool> got = port.Receive(message.bytes);
      KVP_CHECK(got.ok());
      if (!*got) break;
      messages.push_back(message);
    }
    at = is_there ? std::next(at) : ports_.erase(at);
  }
}

bool FakeRings::Send(const RoutingId& peer, absl::Span<const uint8_t> bytes) {
  const auto found = ports_.find(peer);
  if (found == ports_.end()) return peer.starts_with("ring ");  // It has gone.
  KVP_CHECK(found->second.Send(bytes).ok());
  return true;
}

bool FakeRings::Sleep() {
  bool may_sleep = true;
  for (auto& [peer, port] : ports_) may_sleep = may_sleep && port.Sleep();
  return may_sleep;
}

std::vector<int> FakeRings::bell_fds() const {
  std::vector<int> fds;
  for (const auto& [peer, port] : ports_) fds.push_back(port.bell_fd());
  return fds;
}

}  // namespace kvpager::engine
