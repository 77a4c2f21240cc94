// memmgr/daemon/daemon_leases.cc
//
// When an engine is gone, and what is done about one that does not go: leases and revocation
// (decision 0007).

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ipc/lanes.h"
#include "memmgr/daemon/daemon.h"

namespace kvpager {
namespace {

constexpr uint64_t kLeaseCheckNs = 100'000'000;
constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr size_t kRevokersMax = 64;

}  // namespace

// The oldest step of each lane that runs, as far as shared memory and the core say; 0: none.
std::array<uint64_t, kLanesMax> Daemon::RunningSteps(const Session& session) const {
  std::array<uint64_t, kLanesMax> oldest = pool_->core().steps_of(session.client()).ready_oldest;
  if (!session.message_free) return oldest;
  for (uint32_t lane = 0; lane < kLanesMax; ++lane) {
    const SharedLane& shared = session.shared_lanes().lanes[lane];
    const uint64_t done = shared.done.load();
    if (shared.begun.load() <= done) continue;
    if (oldest[lane] == 0 || done + 1 < oldest[lane]) oldest[lane] = done + 1;
  }
  return oldest;
}

// Of an engine that has hung up: whether its kernels may use frames that it was given.
bool Daemon::MayStillRun(const Session& session) const {
  if (session.admin || pool_ == nullptr) return false;
  if (session.connection->pid_fd() < 0) return false;  // Nothing else would ever tell.
  if (session.shared_lanes().left().load() != 0) return false;
  if (session.state == Session::State::kRevoked) return true;
  for (const uint64_t step : RunningSteps(session)) {
    if (step != 0) return true;
  }
  return false;
}

void Daemon::OnSession(uint32_t index, Instant now) {
  Session& session = server_->sessions().at(index);
  if (!session.connection.has_value()) return;
  if (!session.connection->Ended()) {
    if (!session.connection->HungUp()) return;
    if (MayStillRun(session)) return server_->HangUp(session);
  }
  if (const std::optional<ClientId> gone = server_->Leave(session)) {
    Step(now, {.client = *gone, .request = 0, .body = GoneCommand{}});
  }
}

void Daemon::CheckLeases(Instant now) {
  if (now.ns < leases_checked_at_.ns + kLeaseCheckNs) return;
  leases_checked_at_ = now;
  const uint64_t clock_ns = lease_clock_.Advance(now);
  SessionTable& sessions = server_->sessions();
  for (uint32_t i = 0; i < sessions.size(); ++i) {
    Session& session = sessions.at(i);
    if (session.admin || !session.connection.has_value()) continue;
    if (session.hang_up_seen) OnSession(i, now);  // Its last step may have ended.
    if (!session.connection.has_value() || session.state == Session::State::kRevoked) continue;
    CheckLease(session, clock_ns, now);
  }
}

void Daemon::CheckLease(Session& session, uint64_t clock_ns, Instant now) {
  session.held_steps.Note(RunningSteps(session), clock_ns);
  const uint64_t age_ns = session.held_steps.age_ns(clock_ns);
  const uint64_t lease_ns = uint64_t{config_.step_lease_s} * kNsPerSecond;
  const bool waits = pool_->core().steps_of(session.client()).waiting > 0;
  const LeaseVerdict verdict =
      JudgeLease(age_ns, waits ? EngineWaits::kYes : EngineWaits::kNo, lease_ns);
  server_->NoteOverdue(session, verdict != LeaseVerdict::kFine, age_ns);
  if (verdict != LeaseVerdict::kEnded) return;
  Revoke(session,
         absl::StrCat("it has been inside a step for ", age_ns / kNsPerSecond,
                      " s, and limits.step_lease is ", config_.step_lease_s, " s"),
         now);
}

void Daemon::Revoke(Session& session, const std::string& why, Instant now) {
  session.shared_lanes().revoked().store(1);  // Before any of its frames is another's.
  const ClientId client = session.client();
  if (!server_->Revoke(session, why)) Step(now, {.client = client, .body = RevokeCommand{}});
}

void Daemon::RevokeByAdmin(const AdminQuery& query, Instant now) {
  const auto& body = query.message.body<wire::RevokeRequest>();
  const uint64_t request = query.message.header().request;
  SessionTable& sessions = server_->sessions();
  Session* const session =
      body.client() < config_.pool.clients_max ? &sessions.at(body.client()) : nullptr;
  absl::Status refusal;
  if (session == nullptr || !session->connection.has_value()) {
    refusal = absl::NotFoundError(
        absl::StrCat("no engine ", body.client(), " is attached; see kvpagerctl clients"));
  } else if (static_cast<uint32_t>(session->identity.pid) != body.pid()) {
    refusal = absl::FailedPreconditionError(
        absl::StrCat("engine ", body.client(), " is process ", session->identity.pid, ", not ",
                     body.pid(), "; look at kvpagerctl clients again"));
  } else if (session->revokers.size() >= kRevokersMax) {
    refusal = absl::ResourceExhaustedError("too many administrators wait for this already");
  }
  if (!refusal.ok()) return server_->AnswerAdmin(*query.session, request, refusal);
  const AdminRequest asked{query.session->token, request};
  if (session->taken_apart) {
    return server_->AnswerAdmin(*query.session, request, absl::OkStatus());
  }
  session->revokers.push_back(asked);
  if (session->state == Session::State::kRevoked) return;
  Revoke(*session, "an administrator asked for it", now);
}

}  // namespace kvpager
