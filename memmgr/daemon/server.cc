#include "memmgr/daemon/server.h"

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
      intake_(&sessions_, zmq_.get()),
      ring_spin_ns_(uint64_t{config.ring_spin_us} * 1000) {
  waiter_->Add(zmq_->fd(), {WakeKind::kMessages});
}

Server::~Server() {
  for (uint32_t i = 0; i < sessions_.size(); ++i) {
    if (sessions_.at(i).connection.has_value()) StopWatching(sessions_.at(i));
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
  if (session.ring.has_value()) {
    waiter_->Add(session.ring->bell_fd(), {WakeKind::kDoorbell, session.index});
  }
  Note(session, session.ring.has_value() ? "attached, with a ring: " : "attached: ");
}

RequestCounts Server::counts() const {
  RequestCounts counts = counts_;
  counts.ring_messages = intake_.ring_messages();
  return counts;
}

std::optional<Request> Server::NextRequest(Instant now) {
  while (const Letter* letter = intake_.Next()) {
    std::optional<Request> request = Understand(*letter, now);
    if (request.has_value()) return request;
  }
  return std::nullopt;
}

std::optional<Request> Server::Understand(const Letter& letter, Instant now) {
  if (!letter.broken.ok()) {
    OnBrokenRing(*letter.ring, letter.broken);
    return std::nullopt;
  }
  const absl::StatusOr<MessageHeader> header = DecodeHeader(letter.message.bytes);
  if (!header.ok()) {
    Malformed(letter, header.status());
    return std::nullopt;
  }
  Session* session = SenderOf(letter, header->session);
  if (session == nullptr) {
    RefuseSession(letter, header->request);
    return std::nullopt;
  }
  if (letter.ring == nullptr) sessions_.SetPeer(*session, letter.message.peer);
  const absl::StatusOr<MessageView> message = DecodeMessage(letter.message.bytes);
  if (!message.ok()) {
    if (absl::IsUnimplemented(message.status())) {
      RefuseRequest(*session, header->request, message.status());
    } else {
      Malformed(letter, message.status());
    }
    return std::nullopt;
  }
  return Decode(*session, *message, now);
}

Session* Server::SenderOf(const Letter& letter, const SessionToken& token) {
  Session* session = sessions_.FindByToken(token);
  if (session == nullptr) return nullptr;
  const bool right_place =
      letter.ring == nullptr ? !session->ring.has_value() : letter.ring == session;
  return right_place ? session : nullptr;
}

void Server::RefuseSession(const Letter& letter, uint64_t request) {
  ++counts_.refused_session;
  encoder_.EncodeRefusal(request,
                         absl::PermissionDeniedError("the session token is not of a client that "
                                                     "sends its requests here; attach again"),
                         SessionToken{}, message_);
  SendBack(letter, message_);
}

void Server::SendBack(const Letter& letter, absl::Span<const uint8_t> message) {
  if (letter.ring != nullptr) {
    if (letter.ring->state == Session::State::kAttached) Send(*letter.ring, message);
    return;
  }
  if (!zmq_->Send(letter.message.peer, message).ok()) ++counts_.answers_lost;
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
  return *std::move(command);
}

uint64_t Server::AdminRequestOf(const Session& session, uint64_t request) {
  if (request == 0) return 0;
  admin_requests_[++admin_request_last_] = {session.token, request};
  return admin_request_last_;
}

void Server::Malformed(const Letter& letter, const absl::Status& status) {
  ++counts_.malformed;
  const absl::StatusOr<MessageHeader> header = DecodeHeader(letter.message.bytes);
  const uint64_t request = header.ok() ? header->request : 0;
  Session* session = header.ok() ? SenderOf(letter, header->session) : nullptr;
  // Without a readable header, where it came from has the blame: routing ids of connected peers are
  // distinct, and this one has shown a token before.
  if (session == nullptr) session = letter.ring;
  if (session == nullptr) session = sessions_.FindByPeer(letter.message.peer);
  encoder_.EncodeRefusal(request,
                         absl::InvalidArgumentError(
                             absl::StrCat("malformed message: ", std::string(status.message()))),
                         SessionToken{}, message_);
  SendBack(letter, message_);
  if (session == nullptr || session->state != Session::State::kAttached) return;
  ++session->strikes;
  LogWarning(absl::StrCat("malformed message from ", NameOf(*session), ": ",
                          std::string(status.message())));
  if (session->strikes >= kStrikesMax) {
    CutOff(*session, absl::StrCat(kStrikesMax, " malformed messages"));
  }
}

void Server::OnBrokenRing(Session& session, const absl::Status& status) {
  if (session.state != Session::State::kAttached) return;
  ++counts_.malformed;
  CutOff(session, std::string(status.message()));
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
    AnswerRevokers(session);
    sessions_.Free(session);
    return;
  }
  if (reply.kind == ReplyKind::kClientRevoked) {
    sessions_.at(reply.client.value).taken_apart = true;
    AnswerRevokers(sessions_.at(reply.client.value));
    return;
  }
  Reply outgoing = reply;
  Session* session = ReceiverOf(reply, outgoing.request);
  if (session == nullptr) {
    ++counts_.answers_lost;
    return;
  }
  if (outgoing.request != 0 && session->requests_in_flight > 0) --session->requests_in_flight;
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

absl::Status Server::SendTo(Session& session, absl::Span<const uint8_t> message) {
  if (!session.ring.has_value()) return zmq_->Send(session.peer, message);
  const uint64_t bells_before = session.ring->bells_rung();
  absl::Status sent = session.ring->Send(message);
  counts_.ring_bells += session.ring->bells_rung() - bells_before;
  return sent;
}

void Server::Send(Session& session, absl::Span<const uint8_t> message) {
  if (!session.ring.has_value() && session.peer.empty()) {
    ++counts_.answers_lost;  // A notice for an engine that has not spoken yet.
    return;
  }
  const absl::Status sent = SendTo(session, message);
  if (sent.ok()) {
    ++counts_.answers;
    return;
  }
  ++counts_.answers_lost;
  // kNotFound: gone; its connection will say so.
  if (absl::IsResourceExhausted(sent)) CutOff(session, "it does not read its answers");
  if (absl::IsInvalidArgument(sent)) OnBrokenRing(session, sent);
}

void Server::CutOff(Session& session, const std::string& why) {
  if (session.state != Session::State::kAttached) return;
  ++counts_.cut_off;
  LogWarning(absl::StrCat("cut off: ", NameOf(session), ": ", why));
  sessions_.Silence(session, Session::State::kCutOff);
  CloseRing(session);
  // Its end of the connection hangs up; ours stays open until the engine lets go or dies, because
  // its kernels may still run on the frames it holds.
  shutdown(session.connection->fd(), SHUT_WR);
}

void Server::CloseRing(Session& session) {
  if (!session.ring.has_value()) return;
  waiter_->Remove(session.ring->bell_fd());
  session.ring.reset();
}

void Server::HangUp(Session& session) {
  if (session.state == Session::State::kAttached) {
    LogInfo(absl::StrCat("hung up inside a step: ", NameOf(session),
                         "; its frames are kept until it has ended"));
    sessions_.Silence(session, Session::State::kHungUp);
  }
  CloseRing(session);
  // It would be reported for ever.
  if (!std::exchange(session.hang_up_seen, true)) waiter_->Remove(session.connection->fd());
}

void Server::StopWatching(Session& session) {
  CloseRing(session);
  if (!session.hang_up_seen) waiter_->Remove(session.connection->fd());
  waiter_->Remove(session.connection->pid_fd());
  session.connection.reset();
}

std::optional<ClientId> Server::Leave(Session& session) {
  Note(session, "gone: ");
  StopWatching(session);
  if (session.state == Session::State::kAttached) {
    sessions_.Silence(session, Session::State::kLeaving);
  }
  session.state = Session::State::kLeaving;
  if (!session.admin) return session.client();
  sessions_.Free(session);
  return std::nullopt;
}

void Server::OnDoorbell(uint32_t index) {
  Session& session = sessions_.at(index);
  if (!session.ring.has_value() || session.ring->Silence()) return;
  // Its end is closed. Most often the connection's end follows; if not, it is an engine that nobody
  // can ring for, which harms nobody else.
  waiter_->Remove(session.ring->bell_fd());
  session.ring->CloseBell();
}

bool Server::Revoke(Session& session, const std::string& why) {
  ++counts_.revoked;
  const absl::Status killed = session.connection->Kill();
  LogWarning(absl::StrCat(
      "revoked: ", NameOf(session), ": ", why,
      killed.ok() ? "; killed"
                  : absl::StrCat("; it cannot be killed (", std::string(killed.message()),
                                 "): frames that it could write are kept "
                                 "until it has ended")));
  if (session.state == Session::State::kAttached) {
    sessions_.Silence(session, Session::State::kRevoked);
  }
  session.state = Session::State::kRevoked;
  CloseRing(session);
  shutdown(session.connection->fd(), SHUT_WR);
  return killed.ok();
}

void Server::NoteOverdue(Session& session, bool overdue, uint64_t age_ns) {
  if (overdue && !session.overdue) {
    ++counts_.overdue;
    LogWarning(absl::StrCat("overdue: ", NameOf(session), " has been inside a step for ",
                            age_ns / 1'000'000'000, " s; see limits.step_lease"));
  }
  session.overdue = overdue;
}

void Server::AnswerRevokers(Session& session) {
  for (const AdminRequest& asked : std::exchange(session.revokers, {})) {
    Session* const admin = sessions_.FindByToken(asked.token);
    if (admin != nullptr) AnswerAdmin(*admin, asked.request, absl::OkStatus());
  }
}

}  // namespace kvpager
