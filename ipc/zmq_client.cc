#include "ipc/zmq_client.h"

#include <poll.h>
#include <zmq.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

absl::Status ZmqError(const char* what, const std::string& endpoint) {
  const int error = zmq_errno();
  const std::string text =
      absl::StrCat("ZeroMQ cannot ", what, " ", endpoint, ": ", zmq_strerror(error));
  if (error == EMFILE || error == ENFILE || error == ENOMEM) {
    return absl::ResourceExhaustedError(text);
  }
  return absl::UnavailableError(text);
}

bool SetOption(void* socket, int option, int value) {
  return zmq_setsockopt(socket, option, &value, sizeof(value)) == 0;
}

bool SetOptions(void* socket, const ZmqClientOptions& options) {
  const int mark = static_cast<int>(options.high_water_mark);
  const int64_t bytes_max = kMessageBytesMax;
  return SetOption(socket, ZMQ_LINGER, 0) && SetOption(socket, ZMQ_SNDHWM, mark) &&
         SetOption(socket, ZMQ_RCVHWM, mark) && SetOption(socket, ZMQ_RECONNECT_IVL, -1) &&
         zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof(bytes_max)) == 0;
}

absl::Status DaemonGone() { return absl::UnavailableError("kvpagerd is gone; attach again"); }

}  // namespace

absl::StatusOr<std::unique_ptr<ZmqClient>> ZmqClient::Connect(const ZmqClientOptions& options) {
  KVP_CHECK(options.high_water_mark > 0);
  std::unique_ptr<ZmqClient> client(new ZmqClient());
  KVP_RETURN_IF_ERROR(client->Start(options));
  return client;
}

absl::Status ZmqClient::Start(const ZmqClientOptions& options) {
  hangup_fd_ = options.hangup_fd;
  context_ = zmq_ctx_new();
  if (context_ == nullptr) return ZmqError("make a context for", options.endpoint);
  socket_ = zmq_socket(context_, ZMQ_DEALER);
  if (socket_ == nullptr) return ZmqError("make a socket for", options.endpoint);
  if (!SetOptions(socket_, options)) return ZmqError("configure", options.endpoint);
  if (zmq_connect(socket_, options.endpoint.c_str()) != 0) {
    return ZmqError("connect to", options.endpoint);
  }
  size_t bytes = sizeof(fd_);
  if (zmq_getsockopt(socket_, ZMQ_FD, &fd_, &bytes) != 0) {
    return ZmqError("watch", options.endpoint);
  }
  return absl::OkStatus();
}

ZmqClient::~ZmqClient() {
  if (socket_ != nullptr) zmq_close(socket_);
  if (context_ == nullptr) return;
  while (zmq_ctx_term(context_) != 0 && zmq_errno() == EINTR) {
  }
}

bool ZmqClient::has_input() const { return !is_idle(WantsRoom::kNo); }

bool ZmqClient::is_idle(WantsRoom wants_room) const {
  int events = 0;
  size_t bytes = sizeof(events);
  if (zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &bytes) != 0)
    return false;  // EINTR: look again.
  const int wanted = wants_room == WantsRoom::kYes ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN;
  return (events & wanted) == 0;
}

absl::Status ZmqClient::WaitFor(short events, const Deadline& deadline) {
  for (;;) {
    // ZMQ_EVENTS first: fd() only tells that something has changed since it was last read.
    int events_now = 0;
    size_t bytes = sizeof(events_now);
    if (zmq_getsockopt(socket_, ZMQ_EVENTS, &events_now, &bytes) == 0 &&
        (events_now & events) != 0) {
      return absl::OkStatus();
    }
    pollfd watch[2] = {{.fd = fd_, .events = POLLIN, .revents = 0},
                       {.fd = hangup_fd_, .events = POLLIN | POLLRDHUP, .revents = 0}};
    const timespec wait = deadline.remaining();
    const int ready = ppoll(watch, 2, &wait, nullptr);  // Skips a descriptor of -1.
    if (ready > 0 && watch[0].revents == 0) return DaemonGone();
    if (ready <= 0 && deadline.passed()) {
      return absl::DeadlineExceededError("kvpagerd did not answer in time");
    }
  }
}

absl::Status ZmqClient::Send(absl::Span<const uint8_t> bytes, const Deadline& deadline) {
  KVP_CHECK(bytes.size() <= kMessageBytesMax);
  for (;;) {
    if (zmq_send(socket_, bytes.data(), bytes.size(), ZMQ_DONTWAIT) >= 0) return absl::OkStatus();
    if (zmq_errno() == EINTR) continue;
    if (zmq_errno() != EAGAIN) return DaemonGone();
    KVP_RETURN_IF_ERROR(WaitFor(ZMQ_POLLOUT, deadline));
  }
}

absl::Status ZmqClient::Receive(const Deadline& deadline, MessageBytes& bytes) {
  for (;;) {
    zmq_msg_t part;
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, socket_, ZMQ_DONTWAIT) >= 0) {
      const auto* data = static_cast<const uint8_t*>(zmq_msg_data(&part));
      bytes.assign(data, data + zmq_msg_size(&part));
      const bool whole = zmq_msg_more(&part) == 0;
      zmq_msg_close(&part);
      if (whole) return absl::OkStatus();
      // Not of this protocol. Its last part will be an undecodable message: the caller sees that.
      continue;
    }
    const int error = zmq_errno();
    zmq_msg_close(&part);
    if (error == EINTR) continue;
    if (error != EAGAIN) return DaemonGone();
    KVP_RETURN_IF_ERROR(WaitFor(ZMQ_POLLIN, deadline));
  }
}

}  // namespace kvpager
