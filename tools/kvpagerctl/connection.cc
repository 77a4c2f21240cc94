#include "tools/kvpagerctl/connection.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/attach.h"
#include "ipc/deadline.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::ctl {

absl::StatusOr<Connection> Connection::Open(const std::string& socket_path, uint64_t timeout_us) {
  AttachRequest request;
  request.admin = true;
  request.engine_name = "kvpagerctl";
  absl::StatusOr<AttachClient> attach = AttachClient::Attach(socket_path, request, timeout_us);
  if (!attach.ok()) return attach.status();
  KVP_ASSIGN_OR_RETURN(
      std::unique_ptr<ZmqClient> zmq,
      ZmqClient::Connect({.endpoint = attach->reply().endpoint, .hangup_fd = attach->fd()}));
  return Connection(*std::move(attach), std::move(zmq), timeout_us);
}

absl::StatusOr<MessageView> Connection::Exchange() {
  const Deadline deadline = Deadline::AfterUs(timeout_us_);
  KVP_RETURN_IF_ERROR(zmq_->Send(message_, deadline));
  while (true) {
    KVP_RETURN_IF_ERROR(zmq_->Receive(deadline, message_));
    KVP_ASSIGN_OR_RETURN(const MessageView answer, DecodeMessage(message_));
    if (answer.header().request != request_last_) continue;  // Of a question that timed out.
    if (answer.type() != MessageType::kAnswer) return answer;
    const auto& body = answer.body<wire::Answer>();
    KVP_RETURN_IF_ERROR(StatusOf(body.status(), StringOf(body.reason())));
    return answer;
  }
}

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kUnavailable:
      return kExitCannotConnect;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kPermissionDenied:
      return kExitDenied;
    case absl::StatusCode::kDeadlineExceeded:
      return kExitTimeout;
    case absl::StatusCode::kUnimplemented:
      return kExitProtocol;
    default:
      return kExitFailed;
  }
}

}  // namespace kvpager::ctl
