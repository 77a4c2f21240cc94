// memmgr/daemon/waiter.h
//
// The only place where the daemon sleeps: one epoll over every descriptor that can wake it.
//
// Ownership: the epoll descriptor; watched ones belong to others, who remove them before they close
// them. Thread-safety: one thread. Errors: Create only.

#ifndef KVPAGER_MEMMGR_DAEMON_WAITER_H_
#define KVPAGER_MEMMGR_DAEMON_WAITER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/unique_fd.h"

namespace kvpager {

enum class WakeKind : uint32_t {
  kSignal,
  kListen,    // Somebody wants to attach.
  kMessages,  // ZeroMQ's descriptor.
  kNewcomer,  // An attach request, or a hang-up before it. `index`: which newcomer.
  kSession,   // The connection or the process of an attached client ended. `index`: its session.
  kDoorbell,  // Of a ring. `index`: its session.
  kExecutor,  // Completions: polled in every turn anyway.
};

struct WakeEvent {
  WakeKind kind = WakeKind::kSignal;
  uint32_t index = 0;
};

class Waiter {
 public:
  static absl::StatusOr<Waiter> Create();

  void Add(int fd, WakeEvent event);  // Negative descriptors are none: nothing happens.
  void Remove(int fd);

  // Sleeps until something is readable or `timeout_ns` has passed; 0 only looks. The events are
  // valid until the next call.
  absl::Span<const WakeEvent> Wait(uint64_t timeout_ns);

 private:
  explicit Waiter(UniqueFd epoll) : epoll_(std::move(epoll)) {}

  UniqueFd epoll_;
  std::vector<WakeEvent> events_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_WAITER_H_
