#include "memmgr/daemon/intake.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/deadline.h"

namespace kvpager {

Intake::Intake(SessionTable* sessions, ZmqServer* zmq)
    : sessions_(sessions),
      zmq_(zmq),
      ring_letters_(kRingMessagesPerTurn),
      zmq_letters_(kZmqMessagesPerTurn),
      zmq_messages_(kZmqMessagesPerTurn) {}

// Those of sessions that are attached: nobody listens to the others.
template <typename Visit>
void Intake::ForEachRing(Visit visit) const {
  for (uint32_t i = 0; i < sessions_->size(); ++i) {
    Session& session = sessions_->at(i);
    if (session.state == Session::State::kAttached && session.ring.has_value()) visit(session);
  }
}

void Intake::Collect() {
  if (next_ < ring_count_ + zmq_count_) return;
  next_ = 0;
  CollectRings();
  zmq_count_ = zmq_->Receive(absl::MakeSpan(zmq_messages_));
  for (size_t i = 0; i < zmq_count_; ++i) std::swap(zmq_letters_[i].message, zmq_messages_[i]);
}

void Intake::CollectRings() {
  ring_count_ = 0;
  for (uint32_t i = 0; i < sessions_->size() && ring_count_ < kRingMessagesPerTurn; ++i) {
    Session& session = sessions_->at(session_next_);
    session_next_ = (session_next_ + 1) % sessions_->size();
    if (session.state != Session::State::kAttached || !session.ring.has_value()) continue;
    ring_count_ +=
        CollectRing(session, std::min(kRingMessagesPerSession, kRingMessagesPerTurn - ring_count_));
  }
}

size_t Intake::CollectRing(Session& session, size_t count_max) {
  size_t count = 0;
  absl::Status status = session.ring->Pump();
  while (status.ok() && count < count_max) {
    Letter& letter = ring_letters_[ring_count_ + count];
    const absl::StatusOr<bool> got = session.ring->Receive(letter.message.bytes);
    status = got.status();
    if (!status.ok() || !*got) break;
    letter.ring = &session;
    letter.broken = absl::OkStatus();
    ++count;
    ++ring_messages_;
  }
  if (status.ok() || count == count_max) return count;
  ring_letters_[ring_count_ + count].ring = &session;
  ring_letters_[ring_count_ + count].broken = status;
  return count + 1;
}

const Letter* Intake::Next() {
  if (next_ < ring_count_) return &ring_letters_[next_++];
  if (next_ < ring_count_ + zmq_count_) return &zmq_letters_[next_++ - ring_count_];
  return nullptr;
}

bool Intake::has_ring_input() const {
  bool has_input = false;
  ForEachRing([&](Session& session) { has_input |= session.ring->has_input(); });
  return has_input;
}

bool Intake::has_input() const {
  return next_ < ring_count_ + zmq_count_ || zmq_->has_input() || has_ring_input();
}

bool Intake::Sleep(uint64_t spin_ns) {
  bool has_ring = false;
  ForEachRing([&](Session&) { has_ring = true; });
  if (!has_ring) return true;
  if (spin_ns > 0) {
    const uint64_t end_ns = MonotonicNs() + spin_ns;
    while (MonotonicNs() < end_ns) {
      if (has_ring_input()) return false;
    }
  }
  bool may_sleep = true;
  ForEachRing([&](Session& session) { may_sleep = may_sleep && session.ring->Sleep(); });
  return may_sleep;
}

void Intake::Awake() {
  ForEachRing([](Session& session) { session.ring->Awake(); });
}

}  // namespace kvpager
