// tools/kvpagerctl/connection.h
//
// An administrator's connection to the daemon: one question at a time, each with the same timeout.
//
// Ownership: the sockets, and the last answer. Thread-safety: one thread. Errors: as ipc says;
// ExitCodeOf turns them into this program's exit codes.

#ifndef KVPAGER_TOOLS_KVPAGERCTL_CONNECTION_H_
#define KVPAGER_TOOLS_KVPAGERCTL_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/fd_channel.h"
#include "ipc/wire.h"
#include "ipc/zmq_client.h"

namespace kvpager::ctl {

class Connection {
 public:
  static absl::StatusOr<Connection> Open(const std::string& socket_path, uint64_t timeout_us);

  // Sends the request and waits for its answer, valid until the next call. An Answer other than OK
  // is returned as that status.
  template <typename Table>
  absl::StatusOr<MessageView> Ask(flatbuffers::FlatBufferBuilder& builder,
                                  flatbuffers::Offset<Table> request) {
    absl::Status encoded =
        EncodeMessage<Table>(++request_last_, attach_.reply().session, builder, request, message_);
    if (!encoded.ok()) return encoded;
    return Exchange();
  }

  // As above, and the answer must be of this type.
  template <typename Reply, typename Table>
  absl::StatusOr<const Reply*> AskFor(flatbuffers::FlatBufferBuilder& builder,
                                      flatbuffers::Offset<Table> request) {
    absl::StatusOr<MessageView> answer = Ask(builder, request);
    if (!answer.ok()) return answer.status();
    if (answer->type() == kMessageTypeOf<Reply>) return &answer->template body<Reply>();
    return absl::UnimplementedError("the daemon gave an answer that this program does not know");
  }

 private:
  Connection(AttachClient attach, std::unique_ptr<ZmqClient> zmq, uint64_t timeout_us)
      : attach_(std::move(attach)), zmq_(std::move(zmq)), timeout_us_(timeout_us) {}

  absl::StatusOr<MessageView> Exchange();

  AttachClient attach_;
  std::unique_ptr<ZmqClient> zmq_;
  uint64_t timeout_us_;
  uint64_t request_last_ = 0;
  MessageBytes message_;
};

// Exit codes. Do not renumber: scripts depend on them.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitCannotConnect = 3;
inline constexpr int kExitNotFound = 4;
inline constexpr int kExitDenied = 5;
inline constexpr int kExitTimeout = 6;
inline constexpr int kExitProtocol = 7;

int ExitCodeOf(const absl::Status& status);

}  // namespace kvpager::ctl

#endif  // KVPAGER_TOOLS_KVPAGERCTL_CONNECTION_H_
