// ipc/ring_client.h
//
// The engine's end of its ring, with waiting, as ZmqClient is with ZeroMQ.
//
// A receive that has nothing to take looks again for `spin_ns` before it sleeps: an answer that
// comes in that time costs neither side a system call.
//
// Ownership: the port. Thread-safety: one thread at a time. Errors: kUnavailable the daemon is gone
// or has put garbage into the ring.

#ifndef KVPAGER_IPC_RING_CLIENT_H_
#define KVPAGER_IPC_RING_CLIENT_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "ipc/deadline.h"
#include "ipc/ring_port.h"
#include "ipc/wire.h"

namespace kvpager {

struct RingClientOptions {
  int hangup_fd = -1;  // Readable: the daemon is gone.
  uint64_t spin_ns = 0;
};

class RingClient {
 public:
  // REQUIRES: `port` is of the engine's side.
  RingClient(RingPort port, const RingClientOptions& options)
      : port_(std::move(port)), options_(options) {}

  // Queues one message; never waits. kDeadlineExceeded: the backlog is full, and nothing was sent.
  absl::Status Send(absl::Span<const uint8_t> bytes);

  // Waits for one message, which replaces the contents of `bytes`. What has arrived is delivered
  // before kUnavailable is.
  absl::Status Receive(const Deadline& deadline, MessageBytes& bytes);

  // For an event loop, between calls. True: from now on bell_fd() becomes readable when there is
  // something to receive, or room for what waits to be sent. False: there is already. A Receive
  // that sleeps undoes it.
  bool Arm();
  // What the bell has rung for is about to be looked for; Arm again behind that look.
  void Hush();
  int bell_fd() const { return port_.bell_fd(); }

 private:
  absl::Status Take(MessageBytes& bytes, bool& taken);
  absl::Status Spin(const Deadline& deadline, MessageBytes& bytes, bool& taken);
  absl::Status Wait(const Deadline& deadline);

  RingPort port_;
  RingClientOptions options_;
  bool armed_ = false;  // Whatever has come since has rung, and the bell is still to be heard.
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_RING_CLIENT_H_
