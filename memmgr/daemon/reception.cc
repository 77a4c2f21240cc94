#include "memmgr/daemon/reception.h"

#include <grp.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/daemon/log.h"

namespace kvpager {
namespace {

constexpr uint64_t kPauseNs = 1'000'000'000;

}  // namespace

absl::StatusOr<std::optional<gid_t>> GroupOf(const std::string& name) {
  if (name.empty()) return std::optional<gid_t>();
  const group* entry = getgrnam(name.c_str());
  if (entry == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen.group = \"", name, "\": there is no group of that name"));
  }
  return std::optional<gid_t>(entry->gr_gid);
}

absl::StatusOr<Reception> Reception::Create(const Config& config, std::optional<gid_t> group,
                                            Waiter* waiter) {
  absl::StatusOr<AttachServer> server =
      AttachServer::Listen({.path = config.socket_path,
                            .mode = static_cast<mode_t>(config.socket_mode),
                            .group = group});
  if (!server.ok()) return server.status();
  Reception reception(*std::move(server), waiter);
  reception.SetListening(true);
  return reception;
}

Reception::Reception(AttachServer server, Waiter* waiter)
    : server_(std::move(server)), waiter_(waiter), newcomers_(kNewcomersMax) {}

void Reception::SetListening(bool listening) {
  if (listening == listening_) return;
  listening_ = listening;
  if (listening) {
    waiter_->Add(server_.fd(), {WakeKind::kListen});
  } else {
    waiter_->Remove(server_.fd());
  }
}

void Reception::OnListen(Instant now) {
  while (listening_) {
    if (newcomers_waiting_ == kNewcomersMax) return SetListening(false);
    absl::StatusOr<std::optional<AttachPeer>> peer = server_.Accept();
    if (!peer.ok()) {
      LogWarning(absl::StrCat("cannot accept: ", std::string(peer.status().message())));
      listen_again_at_ = Instant{now.ns + kPauseNs};
      return SetListening(false);
    }
    if (!peer->has_value()) return;
    uint32_t newcomer = 0;
    while (newcomers_[newcomer].peer.has_value()) ++newcomer;
    newcomers_[newcomer].peer = *std::move(*peer);
    newcomers_[newcomer].since = now;
    ++newcomers_waiting_;
    waiter_->Add(newcomers_[newcomer].peer->fd(), {WakeKind::kNewcomer, newcomer});
  }
}

void Reception::OnNewcomer(uint32_t newcomer) {
  KVP_CHECK_LT(newcomer, newcomers_.size());
  Newcomer& entry = newcomers_[newcomer];
  if (!entry.peer.has_value() || entry.request.has_value()) return;
  absl::StatusOr<std::optional<AttachRequest>> request = entry.peer->ReceiveRequest();
  if (!request.ok()) {
    if (absl::IsUnavailable(request.status())) return Forget(newcomer);
    return RefuseNewcomer(newcomer, request.status());
  }
  if (request->has_value()) entry.request = *std::move(*request);
}

std::optional<Ask> Reception::NextAsk() {
  for (uint32_t i = 0; i < newcomers_.size(); ++i) {
    Newcomer& entry = newcomers_[i];
    if (!entry.request.has_value()) continue;
    return Ask{.newcomer = i, .identity = entry.peer->identity(), .request = *entry.request};
  }
  return std::nullopt;
}

absl::StatusOr<AttachPeer> Reception::Welcome(const Ask& ask, const AttachReply& reply,
                                              absl::Span<const int> fds) {
  Newcomer& entry = newcomers_[ask.newcomer];
  KVP_CHECK(entry.peer.has_value());
  absl::Status sent = entry.peer->SendReply(reply, fds);
  if (!sent.ok()) {
    Forget(ask.newcomer);
    return sent;
  }
  waiter_->Remove(entry.peer->fd());
  AttachPeer peer = *std::move(entry.peer);
  entry = Newcomer{};
  --newcomers_waiting_;
  return peer;
}

void Reception::Refuse(const Ask& ask, const absl::Status& status) {
  RefuseNewcomer(ask.newcomer, status);
}

void Reception::RefuseNewcomer(uint32_t newcomer, const absl::Status& status) {
  const PeerIdentity identity = newcomers_[newcomer].peer->identity();
  LogWarning(absl::StrCat("attach refused: pid ", identity.pid, " uid ", identity.uid, ": ",
                          std::string(status.message())));
  ++refused_;
  AttachReply reply;
  reply.status = status;
  // Who has gone meanwhile need not hear why.
  const absl::Status sent = newcomers_[newcomer].peer->SendReply(reply, {});
  if (!sent.ok()) LogDebug(std::string(sent.message()));
  Forget(newcomer);
}

void Reception::Forget(uint32_t newcomer) {
  waiter_->Remove(newcomers_[newcomer].peer->fd());
  newcomers_[newcomer] = Newcomer{};
  --newcomers_waiting_;
}

void Reception::Tidy(Instant now) {
  for (uint32_t i = 0; i < newcomers_.size(); ++i) {
    if (!newcomers_[i].peer.has_value()) continue;
    if (now.ns - newcomers_[i].since.ns < kNewcomerNs) continue;
    RefuseNewcomer(i, absl::DeadlineExceededError("no attach request came within 5 seconds"));
  }
  if (!stopped_ && newcomers_waiting_ < kNewcomersMax && now >= listen_again_at_) {
    SetListening(true);
  }
}

void Reception::StopListening() {
  stopped_ = true;
  SetListening(false);
}

}  // namespace kvpager
