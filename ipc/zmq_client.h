// ipc/zmq_client.h
//
// An engine's control socket: a ZeroMQ DEALER over ipc://, with deadlines. It does not reconnect: a
// daemon that was restarted knows nothing of this engine, which must attach anew.
//
// Ownership: context and socket. Thread-safety: one thread at a time. libzmq starts two of its own
// per context, which the destructor joins. Errors: kDeadlineExceeded nothing happened in time;
// kUnavailable the daemon is gone.

#ifndef KVPAGER_IPC_ZMQ_CLIENT_H_
#define KVPAGER_IPC_ZMQ_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/deadline.h"
#include "ipc/wire.h"

namespace kvpager {

struct ZmqClientOptions {
  std::string endpoint;             // AttachReply::endpoint.
  int hangup_fd = -1;               // AttachClient::fd(): waits end when the daemon goes. -1: none.
  uint32_t high_water_mark = 1024;  // Messages, per direction.
};

class ZmqClient {
 public:
  static absl::StatusOr<std::unique_ptr<ZmqClient>> Connect(const ZmqClientOptions& options);
  ~ZmqClient();  // Drops what is unsent.
  ZmqClient(const ZmqClient&) = delete;
  ZmqClient& operator=(const ZmqClient&) = delete;

  // For an event loop: edge-triggered, as ZmqServer::fd(). has_input() before sleeping on it.
  int fd() const { return fd_; }
  bool has_input() const;

  // True: fd() becomes readable when there is something to receive, and, if `wants_room`, when
  // there is room to send. False: there is already. Holds until the next call.
  enum class WantsRoom { kNo, kYes };
  bool is_idle(WantsRoom wants_room) const;

  // Queues one message; waits while the queue is full.
  absl::Status Send(absl::Span<const uint8_t> bytes, const Deadline& deadline);

  // Waits for one message, which replaces the contents of `bytes`. What has arrived is delivered
  // before kUnavailable is.
  absl::Status Receive(const Deadline& deadline, MessageBytes& bytes);

 private:
  ZmqClient() = default;
  absl::Status Start(const ZmqClientOptions& options);
  absl::Status WaitFor(short events, const Deadline& deadline);

  void* context_ = nullptr;
  void* socket_ = nullptr;
  int fd_ = -1;
  int hangup_fd_ = -1;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_ZMQ_CLIENT_H_
