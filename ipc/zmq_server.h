// ipc/zmq_server.h
//
// The daemon's control socket: a ZeroMQ ROUTER over ipc://. It moves bytes; ipc/wire.h says what
// they mean.
//
// fd() is edge-triggered, and every send and receive may consume its edge. So before the loop
// sleeps on fd() it asks has_input(): if that is true it must not sleep.
//
// Bounds: one message is at most kMessageBytesMax (a peer that sends more is cut off); queues are
// at most high_water_mark messages per peer and direction. The daemon keeps what is in flight per
// peer below that, so Send meets a full queue only when a peer has stopped reading.
//
// Ownership: context and socket. Thread-safety: one thread; libzmq starts two of its own per
// context. Errors: see each call. No exceptions: this is the C API.

#ifndef KVPAGER_IPC_ZMQ_SERVER_H_
#define KVPAGER_IPC_ZMQ_SERVER_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/wire.h"

namespace kvpager {

// Names a connection, not a client: it proves nothing. At most 255 bytes.
using RoutingId = std::string;

struct IncomingMessage {
  RoutingId peer;
  MessageBytes bytes;  // Not verified in any way; at most kMessageBytesMax.
};

struct ZmqServerOptions {
  std::string endpoint;  // "ipc://<absolute path>", ZmqEndpointOf(socket path).
  mode_t mode = 0600;    // Of the socket file, as the attach socket's.
  std::optional<gid_t> group;
  uint32_t high_water_mark = 1024;  // Messages, per peer and direction.
};

class ZmqServer {
 public:
  // REQUIRES: the caller holds the AttachServer of the same path, so a socket file that is there is
  // stale; it is replaced. Destroy this before the AttachServer.
  static absl::StatusOr<std::unique_ptr<ZmqServer>> Bind(const ZmqServerOptions& options);
  ~ZmqServer();  // Drops what is unsent; removes the socket file.
  ZmqServer(const ZmqServer&) = delete;
  ZmqServer& operator=(const ZmqServer&) = delete;

  int fd() const { return fd_; }
  bool has_input() const;
  const std::string& endpoint() const { return endpoint_; }

  // Takes up to messages.size() messages, oldest first per peer, fairly between peers, and returns
  // how many. Never blocks. Reuses the room of `messages`. Messages of more than one part are not
  // of this protocol: dropped and counted.
  size_t Receive(absl::Span<IncomingMessage> messages);

  // Never blocks. kNotFound: the peer is gone. kResourceExhausted: its queue is full; nothing was
  // sent. A peer that left a full queue behind is kNotFound only after a Receive has met its end.
  absl::Status Send(const RoutingId& peer, absl::Span<const uint8_t> bytes);

  uint64_t messages_dropped() const { return messages_dropped_; }

 private:
  ZmqServer() = default;
  absl::Status Start(const ZmqServerOptions& options);

  void* context_ = nullptr;
  void* socket_ = nullptr;
  int fd_ = -1;
  std::string endpoint_;
  uint64_t messages_dropped_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_ZMQ_SERVER_H_
