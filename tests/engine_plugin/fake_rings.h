// tests/engine_plugin/fake_rings.h
//
// The rings of the fake daemon: each engine that asked for one is a peer with a made-up routing id.
//
// Ownership: the ports. Thread-safety: one thread at a time.

#ifndef KVPAGER_TESTS_ENGINE_PLUGIN_FAKE_RINGS_H_
#define KVPAGER_TESTS_ENGINE_PLUGIN_FAKE_RINGS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "absl/types/span.h"
#include "ipc/attach.h"
#include "ipc/ring_port.h"
#include "ipc/unique_fd.h"
#include "ipc/zmq_server.h"

namespace kvpager::engine {

class FakeRings {
 public:
  // Puts a new ring and its doorbell into the reply. What it returns must live until that is sent.
  UniqueFd Give(AttachReply& reply, std::vector<int>& fds);

  // Appends what has come, and forgets engines that have gone.
  void Receive(std::deque<IncomingMessage>& messages);

  // False: `peer` has no ring.
  bool Send(const RoutingId& peer, absl::Span<const uint8_t> bytes);

  // False: do not sleep. The doorbells to sleep on otherwise.
  bool Sleep();
  std::vector<int> bell_fds() const;

  size_t count() const { return ports_.size(); }
  void Clear() { ports_.clear(); }

 private:
  std::map<RoutingId, RingPort> ports_;
  uint64_t newest_ = 0;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_TESTS_ENGINE_PLUGIN_FAKE_RINGS_H_
