// memmgr/daemon/server.h
//
// The daemon's side of the protocol: sessions, requests in, answers out. It decides nothing about
// pages; what it refuses, it refuses because a message is wrong, too much, or not the sender's.
//
//   no session has the token          PERMISSION_DENIED, counted
//   a message that does not decode    INVALID_ARGUMENT, counted; the third cuts the client off
//   more than limits.requests         RESOURCE_EXHAUSTED, nothing changes
//   garbage in a ring                 counted as malformed; cuts the client off
//   a client with a ring on ZeroMQ    PERMISSION_DENIED, counted: it has one place to send to
//   an answer that cannot be sent     the client has stopped reading: cut off
//
// Ownership: sessions, their rings, and the ZeroMQ socket. Thread-safety: one thread. Errors:
// Create only.

#ifndef KVPAGER_MEMMGR_DAEMON_SERVER_H_
#define KVPAGER_MEMMGR_DAEMON_SERVER_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/wire.h"
#include "ipc/zmq_server.h"
#include "memmgr/core/command.h"
#include "memmgr/core/effect.h"
#include "memmgr/daemon/answer_encoder.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/intake.h"
#include "memmgr/daemon/request_counts.h"
#include "memmgr/daemon/request_decoder.h"
#include "memmgr/daemon/sessions.h"
#include "memmgr/daemon/waiter.h"

namespace kvpager {

// An administrator's question to the daemon. `message` points into the server until the next
// NextRequest.
struct AdminQuery {
  Session* session = nullptr;
  MessageView message;
};

using Request = std::variant<Command, AdminQuery>;

class Server {
 public:
  // REQUIRES: the caller holds the attach socket of the same path. `waiter` outlives the server.
  static absl::StatusOr<std::unique_ptr<Server>> Create(const Config& config,
                                                        std::optional<gid_t> group, Waiter* waiter);
  ~Server();

  const std::string& endpoint() const { return zmq_->endpoint(); }

  // Sessions. An attach adds one, then hands it its connection; a failed one is dropped again.
  absl::StatusOr<Session*> AddSession(bool admin) { return sessions_.Add(admin); }
  void Connect(Session& session, AttachPeer connection, Instant now);
  void DropSession(Session& session) { sessions_.Free(session); }
  SessionTable& sessions() { return sessions_; }

  // Once the pool exists: what its core accepts.
  void SetBounds(const DecodeBounds& bounds);

  // Takes what has arrived, a bounded number, then hands it out one by one. What a Command or an
  // AdminQuery points to is valid until the next Receive.
  void Receive() { intake_.Collect(); }
  std::optional<Request> NextRequest(Instant now);

  // What the waiter reported.
  void OnDoorbell(uint32_t index);

  // The client has hung up: nothing more is heard of it. What of its steps runs may go on.
  void HangUp(Session& session);
  // It is gone. The engine, if it was one: kClientReleased is to free its session.
  std::optional<ClientId> Leave(Session& session);
  // Takes an engine's session and kills its process. False: it may not; the process may live on.
  // REQUIRES: its lanes say that it is revoked, and it is neither revoked nor leaving.
  bool Revoke(Session& session, const std::string& why);
  // Its half-lease is over; counted and logged once, until it is fine again.
  void NoteOverdue(Session& session, bool overdue, uint64_t age_ns);

  // kClientReleased frees the session, kClientRevoked is for who asked for it; everything else is
  // sent.
  void Answer(const Reply& reply, const Effects& effects);
  void AnswerAdmin(Session& session, uint64_t request, const absl::Status& status);
  void Send(Session& session, absl::Span<const uint8_t> message);

  // True while the loop must not sleep on its descriptors.
  bool has_input() const { return intake_.has_input(); }
  // Between the two the engines ring. False: do not sleep, something has come meanwhile.
  bool Sleep() { return intake_.Sleep(ring_spin_ns_); }
  void Awake() { intake_.Awake(); }
  RequestCounts counts() const;
  uint64_t messages_dropped() const { return zmq_->messages_dropped(); }

 private:
  Server(const Config& config, std::unique_ptr<ZmqServer> zmq, Waiter* waiter);

  std::optional<Request> Understand(const Letter& letter, Instant now);
  std::optional<Request> Decode(Session& session, const MessageView& message, Instant now);
  // The session that may have sent it, by its token and where it came from; or null.
  Session* SenderOf(const Letter& letter, const SessionToken& token);
  void RefuseSession(const Letter& letter, uint64_t request);
  void Malformed(const Letter& letter, const absl::Status& status);
  void OnBrokenRing(Session& session, const absl::Status& status);
  // Answers whoever sent it, session or not.
  void SendBack(const Letter& letter, absl::Span<const uint8_t> message);
  absl::Status SendTo(Session& session, absl::Span<const uint8_t> message);
  void RefuseRequest(Session& session, uint64_t request, const absl::Status& status);
  void CutOff(Session& session, const std::string& why);
  void CloseRing(Session& session);
  void AnswerRevokers(Session& session);
  void StopWatching(Session& session);
  uint64_t AdminRequestOf(const Session& session, uint64_t request);
  // Whose answer this is, and under which number; null: nobody's any more.
  Session* ReceiverOf(const Reply& reply, uint64_t& request);

  std::unique_ptr<ZmqServer> zmq_;
  Waiter* waiter_;
  SessionTable sessions_;
  uint32_t requests_per_client_max_;
  RequestDecoder decoder_;
  AnswerEncoder encoder_;
  MessageBytes message_;
  // The core knows administrators by no client, so their requests are numbered anew.
  std::map<uint64_t, AdminRequest> admin_requests_;
  uint64_t admin_request_last_ = 0;
  Intake intake_;
  uint64_t ring_spin_ns_;
  RequestCounts counts_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_SERVER_H_
