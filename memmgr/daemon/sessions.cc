#include "memmgr/daemon/sessions.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"

namespace kvpager {

SessionTable::SessionTable(uint32_t engines_max)
    : sessions_(engines_max + kAdminSessionsMax), engines_max_(engines_max) {
  for (uint32_t i = 0; i < sessions_.size(); ++i) sessions_[i].index = i;
}

absl::StatusOr<Session*> SessionTable::Add(bool admin) {
  const uint32_t first = admin ? engines_max_ : 0;
  const uint32_t end = admin ? size() : engines_max_;
  for (uint32_t i = first; i < end; ++i) {
    Session& session = sessions_[i];
    if (session.state != Session::State::kFree) continue;
    session.state = Session::State::kAttached;
    session.admin = admin;
    session.token = RandomSessionToken();
    by_token_[session.token] = i;
    if (!admin) ++engines_;
    return &session;
  }
  return absl::ResourceExhaustedError(
      admin ? absl::StrCat(kAdminSessionsMax, " administrators are attached already; try again")
            : absl::StrCat(engines_max_,
                           " engines are attached already; close one, or raise limits.clients"));
}

void SessionTable::Free(Session& session) {
  KVP_CHECK(session.state != Session::State::kFree);
  if (session.state == Session::State::kAttached) Silence(session, Session::State::kLeaving);
  if (!session.admin) --engines_;
  const uint32_t index = session.index;
  session = Session{};
  session.index = index;
}

Session& SessionTable::at(uint32_t index) {
  KVP_CHECK_LT(index, sessions_.size());
  return sessions_[index];
}

Session* SessionTable::FindByToken(const SessionToken& token) {
  const auto found = by_token_.find(token);
  return found == by_token_.end() ? nullptr : &sessions_[found->second];
}

Session* SessionTable::FindByPeer(const RoutingId& peer) {
  const auto found = by_peer_.find(peer);
  return found == by_peer_.end() ? nullptr : &sessions_[found->second];
}

void SessionTable::SetPeer(Session& session, const RoutingId& peer) {
  if (session.peer == peer) return;
  by_peer_.erase(session.peer);
  session.peer = peer;
  by_peer_[peer] = session.index;
}

void SessionTable::Silence(Session& session, Session::State state) {
  by_token_.erase(session.token);
  const auto peer = by_peer_.find(session.peer);
  if (peer != by_peer_.end() && peer->second == session.index) by_peer_.erase(peer);
  session.state = state;
}

}  // namespace kvpager
