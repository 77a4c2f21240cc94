#include "ipc/zmq_server.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "ipc/default_paths.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

constexpr std::string_view kIpcScheme = "ipc://";

absl::Status ZmqError(std::string_view what, const std::string& endpoint) {
  const int error = zmq_errno();
  const std::string text =
      absl::StrCat("ZeroMQ cannot ", std::string(what), " ", endpoint, ": ", zmq_strerror(error));
  if (error == EMFILE || error == ENFILE || error == ENOMEM) {
    return absl::ResourceExhaustedError(text);
  }
  if (error == EACCES) return absl::PermissionDeniedError(text);
  return absl::FailedPreconditionError(text);
}

// A message part that is closed once.
class Part {
 public:
  Part() { zmq_msg_init(&message_); }
  ~Part() { zmq_msg_close(&message_); }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  bool Receive(void* socket) {
    int rc;
    do {
      rc = zmq_msg_recv(&message_, socket, ZMQ_DONTWAIT);
    } while (rc < 0 && zmq_errno() == EINTR);
    return rc >= 0;
  }
  bool more() { return zmq_msg_more(&message_) != 0; }
  const char* data() { return static_cast<const char*>(zmq_msg_data(&message_)); }
  size_t size() const { return zmq_msg_size(&message_); }

 private:
  zmq_msg_t message_;
};

int SendPart(void* socket, const void* data, size_t bytes, int flags) {
  int rc;
  do {
    rc = zmq_send(socket, data, bytes, flags | ZMQ_DONTWAIT);
  } while (rc < 0 && zmq_errno() == EINTR);
  return rc;
}

bool SetOption(void* socket, int option, int value) {
  return zmq_setsockopt(socket, option, &value, sizeof(value)) == 0;
}

bool SetOptions(void* socket, const ZmqServerOptions& options) {
  const int mark = static_cast<int>(options.high_water_mark);
  const int64_t bytes_max = kMessageBytesMax;
  return SetOption(socket, ZMQ_LINGER, 0) && SetOption(socket, ZMQ_SNDHWM, mark) &&
         SetOption(socket, ZMQ_RCVHWM, mark) && SetOption(socket, ZMQ_ROUTER_MANDATORY, 1) &&
         SetOption(socket, ZMQ_ROUTER_HANDOVER, 0) &&
         zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof(bytes_max)) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZmqServer>> ZmqServer::Bind(const ZmqServerOptions& options) {
  KVP_CHECK(options.high_water_mark > 0);
  std::unique_ptr<ZmqServer> server(new ZmqServer());
  KVP_RETURN_IF_ERROR(server->Start(options));
  return server;
}

absl::Status ZmqServer::Start(const ZmqServerOptions& options) {
  const std::string& endpoint = options.endpoint;
  const bool is_ipc = endpoint.compare(0, kIpcScheme.size(), kIpcScheme) == 0;
  const std::string path = is_ipc ? endpoint.substr(kIpcScheme.size()) : "";
  if (path.empty() || path[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("the endpoint ", endpoint, " is not ipc:// and an absolute path"));
  }
  if (path.size() > kSocketPathBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("the socket path ", path, " is longer than ", kSocketPathBytesMax, " bytes"));
  }
  context_ = zmq_ctx_new();
  if (context_ == nullptr) return ZmqError("make a context for", endpoint);
  socket_ = zmq_socket(context_, ZMQ_ROUTER);
  if (socket_ == nullptr) return ZmqError("make a socket for", endpoint);
  if (!SetOptions(socket_, options)) return ZmqError("configure", endpoint);
  // libzmq makes the socket file in this call, in this thread: never wider than asked for.
  const mode_t umask_before = umask(static_cast<mode_t>(~options.mode & 0777));
  const int rc = zmq_bind(socket_, endpoint.c_str());
  umask(umask_before);
  if (rc != 0) return ZmqError("bind", endpoint);
  endpoint_ = endpoint;
  const bool group_set = !options.group.has_value() ||
                         chown(path.c_str(), static_cast<uid_t>(-1), *options.group) == 0;
  if (!group_set || chmod(path.c_str(), options.mode) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot set mode or group of ", path, ": ", std::strerror(errno)));
  }
  size_t bytes = sizeof(fd_);
  if (zmq_getsockopt(socket_, ZMQ_FD, &fd_, &bytes) != 0) return ZmqError("watch", endpoint);
  return absl::OkStatus();
}

ZmqServer::~ZmqServer() {
  if (socket_ != nullptr) zmq_close(socket_);
  if (context_ == nullptr) return;
  while (zmq_ctx_term(context_) != 0 && zmq_errno() == EINTR) {
  }
  if (!endpoint_.empty()) unlink(endpoint_.c_str() + kIpcScheme.size());
}

bool ZmqServer::has_input() const {
  int events = 0;
  size_t bytes = sizeof(events);
  if (zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &bytes) != 0) return true;  // EINTR: look again.
  return (events & ZMQ_POLLIN) != 0;
}

size_t ZmqServer::Receive(absl::Span<IncomingMessage> messages) {
  size_t count = 0;
  // What is dropped counts too, so that a peer that sends nothing else cannot hold the loop here.
  for (size_t turn = 0; turn < messages.size(); ++turn) {
    Part id;
    if (!id.Receive(socket_)) break;
    Part body;
    bool good = id.more() && body.Receive(socket_) && !body.more();
    bool more = body.more();
    while (more) {
      Part rest;
      more = rest.Receive(socket_) && rest.more();
    }
    if (!good) {
      ++messages_dropped_;
      continue;
    }
    IncomingMessage& message = messages[count++];
    message.peer.assign(id.data(), id.size());
    // Copied, because libzmq hands out bytes at any address and FlatBuffers want multiples of 8.
    const auto* data = reinterpret_cast<const uint8_t*>(body.data());
    message.bytes.assign(data, data + body.size());
  }
  return count;
}

absl::Status ZmqServer::Send(const RoutingId& peer, absl::Span<const uint8_t> bytes) {
  KVP_CHECK(bytes.size() <= kMessageBytesMax);
  if (SendPart(socket_, peer.data(), peer.size(), ZMQ_SNDMORE) < 0) {
    if (zmq_errno() == EAGAIN) {
      return absl::ResourceExhaustedError("the peer does not read: its queue is full");
    }
    return absl::NotFoundError("the peer is gone");
  }
  // Once the peer was found and had room, this part is taken; if it dies now, it is discarded.
  if (SendPart(socket_, bytes.data(), bytes.size(), 0) < 0) {
    return absl::NotFoundError("the peer is gone");
  }
  return absl::OkStatus();
}

}  // namespace kvpager
