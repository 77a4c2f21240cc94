#include "memmgr/daemon/server.h"

#include <poll.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/default_paths.h"
#include "memmgr/base/check.h"
#include "memmgr/daemon/log.h"

namespace kvpager {
namespace {

// Answers to all requests in flight and as many notices fit the queue of a peer that reads.
constexpr uint32_t kHighWaterMark = 4096;

std::string NameOf(const Session& session) {
  return absl::StrCat(session.admin ? "administrator" : absl::StrCat("engine ", session.index),
                      " \"", session.engine_name, "\" (pid ", session.identity.pid, ", uid ",
                      session.identity.uid, ")");
}

// Administrators come and go with every kvpagerctl.
void Note(const Session& session, const char* event) {
  const std::string line = event + NameOf(session);
  session.admin ? LogDebug(line) : LogInfo(line);
}

bool ProcessEnded(int pid_fd) {
  if (pid_fd < 0) return false;
  pollfd entry{pid_fd, POLLIN, 0};
  return poll(&entry, 1, 0) > 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Create(const Config& config,
                                                       std::optional<gid_t> group, Waiter* waiter) {
  absl::StatusOr<std::unique_ptr<ZmqServer>> zmq =
      ZmqServer::Bind({.endpoint = ZmqEndpointOf(config.socket_path),
                       .mode = static_cast<mode_t>(config.socket_mode),
                       .group = group,
                       .high_water_mark = kHighWaterMark});
  if (!zmq.ok()) return zmq.status();
  return std::unique_ptr<Server>(new Server(config, *std::move(zmq), waiter));
}

Server::Server(const Config& config, std::unique_ptr<ZmqServer> zmq, Waiter* waiter)
    : zmq_(std::move(zmq)),
      waiter_(waiter),
      sessions_(config.pool.clients_max),
      requests_per_client_max_(config.requests_per_client_max),
      decoder_({}),
      incoming_(kMessagesPerTurn) {
  waiter_->Add(zmq_->fd(), {WakeKind::kMessages});
}

Server::~Server() {
  for (uint32_t i = 0; i < sessions_.size(); ++i) {
    if (sessions_.at(i).connection.has_value()) Leave(sessions_.at(i));
  }
  waiter_->Remove(zmq_->fd());
}

void Server::SetBounds(const DecodeBounds& bounds) { decoder_ = RequestDecoder(bounds); }

void Server::Connect(Session& session, AttachPeer connection, Instant now) {
  session.identity = connection.identity();
  session.attached_at = now;
  waiter_->Add(connection.fd(), {WakeKind::kSession, session.index});
  waiter_->Add(connection.pid_fd(), {WakeKind::kSession, session.index});
  session.connection = std::move(connection);
  Note(session, "attached: ");
}

void Server::Receive() {
  if (next_ < received_) return;
  next_ = 0;
  received_ = zmq_->Receive(absl::MakeSpan(incoming_));
}

std::optional<Request> Server::NextRequest(Instant now) {
  while (next_ < received_) {
    std::optional<Request> request = Understand(incoming_[next_++], now);
    if (request.has_value()) return request;
  }
  return std::nullopt;
}

std::optional<Request> Server::Understand(const IncomingMessage& incoming, Instant now) {
  const absl::StatusOr<MessageHeader> header = DecodeHeader(incoming.bytes);
  if (!header.ok()) {
    Malformed(incoming, header.status());
    return std::nullopt;
  }
  Session* session = sessions_.FindByToken(header->session);
  if (session == nullptr) {
    ++counts_.refused_session;
    encoder_.EncodeRefusal(header->request,
                           absl::PermissionDeniedError("the session token is not of an attached "
                                                       "client; attach again"),
                           SessionToken{}, message_);
    if (!zmq_->Send(incoming.peer, message_).ok()) ++counts_.answers_lost;
    return std::nullopt;
  }
  sessions_.SetPeer(*session, incoming.peer);
  const absl::StatusOr<MessageView> message = DecodeMessage(incoming.bytes);
  if (!message.ok()) {
    if (absl::IsUnimplemented(message.status())) {
      RefuseRequest(*session, header->request, message.status());
    } else {
      Malformed(incoming, message.status());
    }
    return std::nullopt;
  }
  return Decode(*session, *message, now);
}

std::optional<Request> Server::Decode(Session& session, const MessageView& message, Instant now) {
  const size_t type = static_cast<size_t>(message.type());
  if (type < counts_.by_type.size()) ++counts_.by_type[type];
  ++session.requests;
  const uint64_t request = message.header().request;
  if (request != 0 && session.requests_in_flight >= requests_per_client_max_) {
    ++counts_.refused_in_flight;
    RefuseRequest(session, request,
                  absl::ResourceExhaustedError(absl::StrCat(
                      requests_per_client_max_,
                      " requests are unanswered already; wait for some of them, then retry")));
    return std::nullopt;
  }
  if (IsAdminQuery(message.type())) {
    if (session.admin) return AdminQuery{&session, message};
    RefuseRequest(session, request,
                  absl::PermissionDeniedError("only administrators may ask this; attach as one"));
    return std::nullopt;
  }
  const Requester requester{.client = session.client(),
                            .keys = session.keys.has_value() ? &*session.keys : nullptr};
  absl::StatusOr<Command> command = decoder_.Decode(message, requester, now);
  if (!command.ok()) {
    ++counts_.refused_arguments;
    RefuseRequest(session, request, command.status());
    return std::nullopt;
  }
  if (session.admin) command->request = AdminRequestOf(session, request);
  if (request != 0) ++session.requests_in_flight;
  NoteStep(*command, session);
  return *std::move(command);
}

void Server::NoteStep(const Command& command, Session& session) {
  if (const auto* begin = std::get_if<StepBeginCommand>(&command.body)) {
    // Of one that wants no answer nobody would hear that it was refused: it is not listed.
    if (command.request == 0) return;
    session.steps[{begin->ticket.lane, begin->ticket.number}] = command.request;
  } else if (const auto* end = std::get_if<StepEndCommand>(&command.body)) {
    session.steps.erase({end->ticket.lane, end->ticket.number});
  }
}

uint64_t Server::AdminRequestOf(const Session& session, uint64_t request) {
  if (request == 0) return 0;
  admin_requests_[++admin_request_last_] = {session.token, request};
  return admin_request_last_;
}

void Server::Malformed(const IncomingMessage& incoming, const absl::Status& status) {
  ++counts_.malformed;
  const absl::StatusOr<MessageHeader> header = DecodeHeader(incoming.bytes);
  const uint64_t request = header.ok() ? header->request : 0;
  Session* session = header.ok() ? sessions_.FindByToken(header->session) : nullptr;
  // Without a readable header, the connection it came from has the blame: routing ids of connected
  // peers are distinct, and this one has shown a token before.
  if (session == nullptr) session = sessions_.FindByPeer(incoming.peer);
  encoder_.EncodeRefusal(request,
                         absl::InvalidArgumentError(
                             absl::StrCat("malformed message: ", std::string(status.message()))),
                         SessionToken{}, message_);
  if (!zmq_->Send(incoming.peer, message_).ok()) ++counts_.answers_lost;
  if (session == nullptr) return;
  ++session->strikes;
  LogWarning(absl::StrCat("malformed message from ", NameOf(*session), ": ",
                          std::string(status.message())));
  if (session->strikes >= kStrikesMax) {
    CutOff(*session, absl::StrCat(kStrikesMax, " malformed messages"));
  }
}

void Server::RefuseRequest(Session& session, uint64_t request, const absl::Status& status) {
  if (request == 0) return;
  encoder_.EncodeRefusal(request, status, session.token, message_);
  Send(session, message_);
}

Session* Server::ReceiverOf(const Reply& reply, uint64_t& request) {
  request = reply.request;
  if (!reply.client.is_none()) {
    Session& session = sessions_.at(reply.client.value);
    KVP_CHECK(session.state != Session::State::kFree);
    return &session;
  }
  const auto found = admin_requests_.find(reply.request);
  if (found == admin_requests_.end()) return nullptr;
  request = found->second.request;
  Session* session = sessions_.FindByToken(found->second.token);
  admin_requests_.erase(found);
  return session;
}

void Server::Answer(const Reply& reply, const Effects& effects) {
  if (reply.kind == ReplyKind::kClientReleased) {
    Session& session = sessions_.at(reply.client.value);
    LogInfo(absl::StrCat("released: ", NameOf(session)));
    sessions_.Free(session);
    return;
  }
  Reply outgoing = reply;
  Session* session = ReceiverOf(reply, outgoing.request);
  if (session == nullptr) {
    ++counts_.answers_lost;
    return;
  }
  if (outgoing.request != 0 && session->requests_in_flight > 0) --session->requests_in_flight;
  if (reply.status != absl::StatusCode::kOk) {
    std::erase_if(session->steps, [&](const auto& step) {
      return outgoing.request != 0 && step.second == outgoing.request;
    });
  }
  if (session->state != Session::State::kAttached) return;
  std::string sentence;
  if (reply.quota.limit != QuotaLimit::kNone) {
    sentence = QuotaSentence(reply.quota, session->namespace_name);
    outgoing.reason = sentence;
  }
  const absl::Status encoded = encoder_.Encode(outgoing, effects, session->token, message_);
  if (!encoded.ok()) return CutOff(*session, std::string(encoded.message()));
  Send(*session, message_);
}

void Server::AnswerAdmin(Session& session, uint64_t request, const absl::Status& status) {
  RefuseRequest(session, request, status);
}

void Server::Send(Session& session, absl::Span<const uint8_t> message) {
  if (session.peer.empty()) {  // A notice for an engine that has not spoken yet.
    ++counts_.answers_lost;
    return;
  }
  const absl::Status sent = zmq_->Send(session.peer, message);
  if (sent.ok()) {
    ++counts_.answers;
    return;
  }
  ++counts_.answers_lost;
  // kNotFound: gone; its connection will say so.
  if (absl::IsResourceExhausted(sent)) CutOff(session, "it does not read its answers");
}

void Server::CutOff(Session& session, const std::string& why) {
  if (session.state != Session::State::kAttached) return;
  ++counts_.cut_off;
  LogWarning(absl::StrCat("cut off: ", NameOf(session), ": ", why));
  sessions_.Revoke(session, Session::State::kCutOff);
  // Its end of the connection hangs up; ours stays open until the engine lets go or dies, because
  // its kernels may still run on the frames it holds.
  shutdown(session.connection->fd(), SHUT_WR);
}

void Server::Leave(Session& session) {
  waiter_->Remove(session.connection->fd());
  waiter_->Remove(session.connection->pid_fd());
  session.connection.reset();
  if (session.state == Session::State::kAttached) {
    sessions_.Revoke(session, Session::State::kLeaving);
  }
  session.state = Session::State::kLeaving;
}

std::optional<ClientId> Server::OnSession(uint32_t index) {
  Session& session = sessions_.at(index);
  if (!session.connection.has_value()) return std::nullopt;
  const bool hung_up = session.connection->HungUp();
  if (!hung_up && !ProcessEnded(session.connection->pid_fd())) return std::nullopt;
  Note(session, "gone: ");
  Leave(session);
  if (!session.admin) return session.client();
  sessions_.Free(session);
  return std::nullopt;
}

}  // namespace kvpager
