#include "tools/support/daemon_status.h"

#include <memory>
#include <utility>

#include "ipc/attach.h"
#include "ipc/deadline.h"
#include "ipc/default_paths.h"
#include "ipc/fd_channel.h"
#include "ipc/wire.h"
#include "ipc/zmq_client.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::tools {
namespace {

constexpr uint64_t kTimeoutUs = 5'000'000;
constexpr uint64_t kRequest = 1;

std::string TextOf(const flatbuffers::String* text) { return std::string(StringOf(text)); }

DaemonStatus Convert(const wire::StatusReply& reply) {
  DaemonStatus status;
  status.version = TextOf(reply.version());
  status.pid = reply.pid();
  for (uint32_t i = 0; i < CountOf(reply.tiers()); ++i) {
    const wire::TierStatus* tier = reply.tiers()->Get(i);
    status.tier_details[TextOf(tier->name())] = TextOf(tier->detail());
  }
  for (uint32_t i = 0; i < CountOf(reply.counters()); ++i) {
    const wire::Counter* counter = reply.counters()->Get(i);
    status.counters[TextOf(counter->name())] = counter->value();
  }
  return status;
}

}  // namespace

absl::StatusOr<DaemonStatus> AskDaemon(const std::string& socket, const std::string& engine_name) {
  const std::string path = socket.empty() ? ClientSocketPath() : socket;
  AttachRequest request;
  request.admin = true;
  request.engine_name = engine_name;
  KVP_ASSIGN_OR_RETURN(const AttachClient attach, AttachClient::Attach(path, request, kTimeoutUs));
  KVP_RETURN_IF_ERROR(attach.reply().status);
  ZmqClientOptions options;
  options.endpoint = attach.reply().endpoint;
  options.hangup_fd = attach.fd();
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<ZmqClient> client, ZmqClient::Connect(options));

  flatbuffers::FlatBufferBuilder builder;
  MessageBytes message;
  KVP_RETURN_IF_ERROR(EncodeMessage<wire::StatusRequest>(
      kRequest, attach.reply().session, builder, wire::CreateStatusRequest(builder), message));
  const Deadline deadline = Deadline::AfterUs(kTimeoutUs);
  KVP_RETURN_IF_ERROR(client->Send(message, deadline));
  while (true) {
    KVP_RETURN_IF_ERROR(client->Receive(deadline, message));
    KVP_ASSIGN_OR_RETURN(const MessageView view, DecodeMessage(message));
    if (view.header().request != kRequest) continue;
    if (view.type() == MessageType::kAnswer) {
      const auto& answer = view.body<wire::Answer>();
      const absl::Status refused = StatusOf(answer.status(), StringOf(answer.reason()));
      return refused.ok() ? absl::UnavailableError("the daemon's answer is not a status") : refused;
    }
    if (view.type() != MessageType::kStatusReply) continue;
    return Convert(view.body<wire::StatusReply>());
  }
}

}  // namespace kvpager::tools
