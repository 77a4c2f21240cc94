// memmgr/daemon/reception.h
//
// The unix socket where clients attach: newcomers wait here until they have said what they want and
// have been answered.
//
// Bounds: kNewcomersMax at once, each for at most kNewcomerNs; whoever says nothing is sent away.
// Ownership: the listening socket and the newcomers' connections. Thread-safety: one thread.
// Errors: Create says what is wrong with the path; a newcomer's error is its own.

#ifndef KVPAGER_MEMMGR_DAEMON_RECEPTION_H_
#define KVPAGER_MEMMGR_DAEMON_RECEPTION_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/attach.h"
#include "ipc/fd_channel.h"
#include "memmgr/base/ids.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/waiter.h"

namespace kvpager {

// Somebody who asked to attach and waits for the answer.
struct Ask {
  uint32_t newcomer = 0;
  PeerIdentity identity;
  AttachRequest request;
};

// listen.group as a number; nullopt if it is empty, kInvalidArgument if there is none of that name.
absl::StatusOr<std::optional<gid_t>> GroupOf(const std::string& name);

class Reception {
 public:
  static constexpr uint32_t kNewcomersMax = 64;
  static constexpr uint64_t kNewcomerNs = 5'000'000'000;

  // `waiter` outlives the reception.
  static absl::StatusOr<Reception> Create(const Config& config, std::optional<gid_t> group,
                                          Waiter* waiter);

  // What the waiter reported.
  void OnListen(Instant now);
  void OnNewcomer(uint32_t newcomer);

  // The next one to answer, with Welcome or Refuse.
  std::optional<Ask> NextAsk();

  // Answers and hands the connection over. An error: the newcomer has gone meanwhile.
  absl::StatusOr<AttachPeer> Welcome(const Ask& ask, const AttachReply& reply,
                                     absl::Span<const int> fds);
  void Refuse(const Ask& ask, const absl::Status& status);
  // False once the newcomer has been answered or has gone.
  bool holds(const Ask& ask) const { return newcomers_[ask.newcomer].request.has_value(); }

  // Sends away who has waited too long, and listens again after a shortage of descriptors.
  void Tidy(Instant now);
  // No new attaches: the daemon is stopping.
  void StopListening();

  bool idle() const { return newcomers_waiting_ == 0 && listening_; }  // Tidy is not needed.
  uint64_t refused() const { return refused_; }

 private:
  struct Newcomer {
    std::optional<AttachPeer> peer;
    std::optional<AttachRequest> request;
    Instant since;
  };

  Reception(AttachServer server, Waiter* waiter);
  void RefuseNewcomer(uint32_t newcomer, const absl::Status& status);
  void Forget(uint32_t newcomer);
  void SetListening(bool listening);

  AttachServer server_;
  Waiter* waiter_;
  std::vector<Newcomer> newcomers_;
  uint32_t newcomers_waiting_ = 0;
  bool listening_ = false;
  bool stopped_ = false;
  Instant listen_again_at_;  // After a shortage of descriptors.
  uint64_t refused_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_RECEPTION_H_
