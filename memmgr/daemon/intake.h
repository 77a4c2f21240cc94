// memmgr/daemon/intake.h
//
// Where requests come in: the rings of all sessions, then ZeroMQ. One turn of the loop takes in a
// bounded number of messages, and of each ring a bounded number, in turns: whoever sends without
// end keeps nobody else waiting.
//
// Ownership: borrows both sources. Thread-safety: one thread. Errors: a Letter says that its ring
// holds garbage.

#ifndef KVPAGER_MEMMGR_DAEMON_INTAKE_H_
#define KVPAGER_MEMMGR_DAEMON_INTAKE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "ipc/zmq_server.h"
#include "memmgr/daemon/sessions.h"

namespace kvpager {

struct Letter {
  Session* ring = nullptr;  // Through whose ring it came; null: ZeroMQ.
  absl::Status broken;      // Not ok: the ring holds garbage, and this is no message.
  IncomingMessage message;  // `peer` is empty if it came through a ring.
};

class Intake {
 public:
  static constexpr size_t kZmqMessagesPerTurn = 64;
  static constexpr size_t kRingMessagesPerTurn = 64;
  static constexpr size_t kRingMessagesPerSession = 8;

  Intake(SessionTable* sessions, ZmqServer* zmq);

  // Takes in what has come, unless letters are left.
  void Collect();

  // Null: none is left. What it points to is valid until the next Collect.
  const Letter* Next();

  // True while the loop must not sleep.
  bool has_input() const;

  // Rings: looks for a message for at most `spin_ns`, then asks every engine to ring its doorbell
  // from now on. False: there is something already, do not sleep. Awake in any case afterwards.
  bool Sleep(uint64_t spin_ns);
  void Awake();

  uint64_t ring_messages() const { return ring_messages_; }

 private:
  template <typename Visit>
  void ForEachRing(Visit visit) const;
  bool has_ring_input() const;
  void CollectRings();
  size_t CollectRing(Session& session, size_t count_max);

  SessionTable* sessions_;
  ZmqServer* zmq_;
  std::vector<Letter> ring_letters_;
  std::vector<Letter> zmq_letters_;
  std::vector<IncomingMessage> zmq_messages_;
  size_t ring_count_ = 0;
  size_t zmq_count_ = 0;
  size_t next_ = 0;
  uint32_t session_next_ = 0;  // Whose turn it is.
  uint64_t ring_messages_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_INTAKE_H_
