// memmgr/daemon/daemon.h
//
// kvpagerd: builds the parts and runs THE LOOP. One thread runs all logic; docs/THREADS.md lists
// the others.
//
// Errors: Create says in a sentence why the daemon cannot start. Run returns when a signal asked it
// to stop: OK after a clean stop.

#ifndef KVPAGER_MEMMGR_DAEMON_DAEMON_H_
#define KVPAGER_MEMMGR_DAEMON_DAEMON_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/unique_fd.h"
#include "memmgr/core/core.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/data_directory.h"
#include "memmgr/daemon/leases.h"
#include "memmgr/daemon/namespaces.h"
#include "memmgr/daemon/pool.h"
#include "memmgr/daemon/reception.h"
#include "memmgr/daemon/router.h"
#include "memmgr/daemon/server.h"
#include "memmgr/daemon/waiter.h"

namespace kvpager {

class Daemon {
 public:
  // REQUIRES: SIGTERM and SIGINT are blocked in every thread (BlockSignals).
  static absl::StatusOr<std::unique_ptr<Daemon>> Create(const Config& config);
  ~Daemon();

  absl::Status Run();

 private:
  Daemon(const Config& config, Waiter waiter, DataDirectory directory, NamespaceTable namespaces);
  absl::Status Open();

  void Turn(Instant now);
  void Dispatch(absl::Span<const WakeEvent> events, Instant now);
  void PollCompletions(Instant now);
  void CheckNvme(Instant now);
  void PollHeaders(Instant now);
  void PollRequests(Instant now);
  void TickIfDue(Instant now);
  uint64_t SleepNs(Instant now) const;
  absl::Status CheckDevice();
  absl::Status Stop();

  // daemon_attach.cc
  void ServeAttaches(Instant now);
  absl::Status Attach(const Ask& ask, Instant now);
  absl::Status AttachAdmin(const Ask& ask, Instant now);
  absl::Status AttachEngine(const Ask& ask, Instant now);
  absl::Status EnsurePool(const PoolIdentity& identity);

  // Feeds one input to the core and carries out its effects.
  void Step(Instant now, const Command& command);

  // daemon_lanes.cc: engines that run steps without a message.
  void CarryOut(Instant now);
  void PollLanes(Instant now);
  void NoteLanes(ClientId client);
  void NoteAllLanes();
  void PollTouched(Instant now);
  uint64_t LanesSleepNs() const;

  // daemon_leases.cc: engines that go, and engines that do not.
  void OnSession(uint32_t index, Instant now);
  bool MayStillRun(const Session& session) const;
  std::array<uint64_t, kLanesMax> RunningSteps(const Session& session) const;
  void CheckLeases(Instant now);
  void CheckLease(Session& session, uint64_t clock_ns, Instant now);
  void Revoke(Session& session, const std::string& why, Instant now);
  void RevokeByAdmin(const AdminQuery& query, Instant now);

  Config config_;
  Waiter waiter_;
  DataDirectory directory_;
  NamespaceTable namespaces_;
  UniqueFd signals_;
  std::optional<Reception> reception_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Pool> pool_;  // Null until the first attach.
  std::optional<Router> router_;
  Effects effects_;
  std::vector<Completion> completions_;
  Instant started_at_;
  Instant touched_polled_at_;
  Instant leases_checked_at_;
  LeaseClock lease_clock_;
  bool stopping_ = false;
};

// Blocks SIGTERM and SIGINT, which the loop reads from a descriptor, and ignores SIGPIPE and
// SIGXFSZ. Before any thread is started.
void BlockSignals();

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_DAEMON_H_
