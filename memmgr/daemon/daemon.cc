#include "memmgr/daemon/daemon.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/daemon/admin.h"
#include "memmgr/daemon/clock.h"
#include "memmgr/daemon/log.h"

namespace kvpager {
namespace {

constexpr size_t kCompletionsPerTurn = 256;
constexpr size_t kRunsPerTurn = 64;
constexpr uint64_t kSleepNsMax = 100'000'000;  // The heartbeat of the page table.
constexpr uint64_t kStopNsMax = 10'000'000'000;

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// An engine takes five descriptors: connection, process, lanes, ring, doorbell.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) LogWarning("cannot raise the limit on descriptors");
}

}  // namespace

void BlockSignals() {
  const sigset_t signals = StopSignals();
  KVP_CHECK(pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // A file size limit is an error, not a death.
}

// ---- THE LOOP -----------------------------------------------------------------------------------

absl::Status Daemon::Run() {
  while (!stopping_) {
    Turn(MonotonicNow());
    if (pool_ != nullptr) KVP_RETURN_IF_ERROR(CheckDevice());
    uint64_t sleep_ns = SleepNs(MonotonicNow());
    if (sleep_ns > 0 && !server_->Sleep()) sleep_ns = 0;
    const absl::Span<const WakeEvent> events = waiter_.Wait(sleep_ns);
    server_->Awake();
    Dispatch(events, MonotonicNow());
  }
  return Stop();
}

// Completions before requests, so that frames are free before new work asks for them.
void Daemon::Turn(Instant now) {
  if (pool_ != nullptr) {
    PollCompletions(now);
    PollLanes(now);
    PollHeaders(now);
  }
  ServeAttaches(now);
  PollRequests(now);
  if (pool_ == nullptr) return;
  CheckLeases(now);
  TickIfDue(now);
  router_->Flush();
  pool_->page_table().Heartbeat(now.ns);
}

void Daemon::PollCompletions(Instant now) {
  const size_t count = router_->Poll(absl::MakeSpan(completions_));
  for (size_t i = 0; i < count; ++i) {
    const Completion& done = completions_[i];
    if (done.outcome != Outcome::kOk) {
      LogWarning(absl::StrCat(
          "an operation ", done.outcome == Outcome::kFailed ? "failed" : "found wrong bytes",
          done.os_error == 0 ? "" : ": ", done.os_error == 0 ? "" : std::strerror(done.os_error)));
    }
    pool_->core().Complete(now, done, effects_);
    CarryOut(now);
  }
  CheckNvme(now);
}

// A device that fails again and again costs every step that asks it; what is left works without.
void Daemon::CheckNvme(Instant now) {
  if (pool_->nvme_executor() == nullptr || pool_->core().nvme_lost()) return;
  const uint64_t failed = pool_->nvme_executor()->stats().failed_in_row;
  if (failed < kFailedInRowMax) return;
  LogError(absl::StrCat("the nvme tier is out of service until the next start: the last ", failed,
                        " requests to ", pool_->page_file()->path(),
                        " failed; what was only there is lost. Check the disk"));
  pool_->core().LoseNvme(now, effects_);
  CarryOut(now);
}

// After an unclean stop, until all headers of the data file are known.
void Daemon::PollHeaders(Instant now) {
  for (size_t i = 0; i < kRunsPerTurn && pool_->Reconcile(now, effects_); ++i) CarryOut(now);
}

void Daemon::PollRequests(Instant now) {
  server_->Receive();
  while (std::optional<Request> request = server_->NextRequest(now)) {
    if (const auto* command = std::get_if<Command>(&*request)) {
      Step(now, *command);
    } else if (const auto& query = std::get<AdminQuery>(*request);
               query.message.type() == MessageType::kRevoke) {
      RevokeByAdmin(query, now);
    } else {
      const AdminView view{.config = config_,
                           .namespaces = namespaces_,
                           .pool = pool_.get(),
                           .reception = *reception_,
                           .started_at = started_at_,
                           .now = now,
                           .lease_clock_ns = lease_clock_.now_ns()};
      AnswerQuery(query, view, *server_);
    }
  }
}

void Daemon::Step(Instant now, const Command& command) {
  if (pool_ == nullptr) {  // Only an administrator can be here before the first engine.
    Effects none;
    none.replies.push_back({.client = command.client,
                            .request = command.request,
                            .status = absl::StatusCode::kNotFound,
                            .reason = "no engine has attached yet, so there is no sequence"});
    server_->Answer(none.replies.front(), none);
    return;
  }
  NoteLanes(command.client);
  pool_->core().Step(now, command, effects_);
  CarryOut(now);
}

void Daemon::TickIfDue(Instant now) {
  if (!pool_->core().has_work() && now < pool_->core().next_deadline()) return;
  pool_->core().Tick(now, effects_);
  CarryOut(now);
}

uint64_t Daemon::SleepNs(Instant now) const {
  if (server_->has_input()) return 0;
  if (pool_ == nullptr) return reception_->idle() ? ~uint64_t{0} : kSleepNsMax;
  if (pool_->core().has_work() || router_->wants_poll()) return 0;
  if (pool_->reconciles_now()) return 0;
  const Instant deadline = pool_->core().next_deadline();
  return deadline <= now ? 0 : std::min({deadline.ns - now.ns, kSleepNsMax, LanesSleepNs()});
}

void Daemon::Dispatch(absl::Span<const WakeEvent> events, Instant now) {
  for (const WakeEvent& event : events) {
    switch (event.kind) {
      case WakeKind::kSignal: {
        signalfd_siginfo info{};
        stopping_ = read(signals_.get(), &info, sizeof info) == sizeof info || stopping_;
        break;
      }
      case WakeKind::kListen:
        reception_->OnListen(now);
        break;
      case WakeKind::kNewcomer:
        reception_->OnNewcomer(event.index);
        break;
      case WakeKind::kSession:
        OnSession(event.index, now);
        break;
      case WakeKind::kDoorbell:
        server_->OnDoorbell(event.index);
        break;
      case WakeKind::kMessages:
      case WakeKind::kExecutor:
        break;  // Every turn looks at both.
    }
  }
  reception_->Tidy(now);
}

// ---- Start and stop -----------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Create(const Config& config) {
  absl::StatusOr<Waiter> waiter = Waiter::Create();
  if (!waiter.ok()) return waiter.status();
  absl::StatusOr<DataDirectory> directory =
      DataDirectory::Open(config.nvme_path, config.nvme_encryption_key_file);
  if (!directory.ok()) return directory.status();
  absl::StatusOr<NamespaceTable> namespaces = NamespaceTable::Create(config, directory->secret());
  if (!namespaces.ok()) return namespaces.status();
  auto daemon = std::unique_ptr<Daemon>(
      new Daemon(config, *std::move(waiter), *std::move(directory), *std::move(namespaces)));
  KVP_RETURN_IF_ERROR(daemon->Open());
  return daemon;
}

Daemon::Daemon(const Config& config, Waiter waiter, DataDirectory directory,
               NamespaceTable namespaces)
    : config_(config),
      waiter_(std::move(waiter)),
      directory_(std::move(directory)),
      namespaces_(std::move(namespaces)),
      completions_(kCompletionsPerTurn),
      started_at_(MonotonicNow()) {}

Daemon::~Daemon() = default;

absl::Status Daemon::Open() {
  RaiseDescriptorLimit();
  const sigset_t signals = StopSignals();
  signals_.reset(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (signals_.is_none()) {
    return absl::ResourceExhaustedError(absl::StrCat("signalfd: ", std::strerror(errno)));
  }
  waiter_.Add(signals_.get(), {WakeKind::kSignal});
  KVP_ASSIGN_OR_RETURN(const std::optional<gid_t> group, GroupOf(config_.socket_group));
  absl::StatusOr<Reception> reception = Reception::Create(config_, group, &waiter_);
  if (!reception.ok()) return reception.status();
  reception_.emplace(*std::move(reception));
  KVP_ASSIGN_OR_RETURN(server_, Server::Create(config_, group, &waiter_));
  return absl::OkStatus();
}

// Without its device nothing can be served, and nothing more be saved: the daemon ends as if it had
// been killed, and the next start reads the headers.
absl::Status Daemon::CheckDevice() {
  absl::Status health = pool_->device().health();
  if (health.ok()) return health;
  LogError(std::string(health.message()));
  reception_->StopListening();
  pool_->page_table().SetState(PageTableState::kStopped);
  return health;
}

// No new engines and requests; what is in flight may finish, for a while. Pages that are only in
// HBM or host memory end with the daemon: what has to survive was named durable.
absl::Status Daemon::Stop() {
  LogInfo("stopping");
  reception_->StopListening();
  if (pool_ == nullptr) return absl::OkStatus();
  const uint64_t end_ns = MonotonicNow().ns + kStopNsMax;
  while (pool_->core().operations_in_flight() > 0 && MonotonicNow().ns < end_ns) {
    PollCompletions(MonotonicNow());
    router_->Flush();
    Dispatch(waiter_.Wait(router_->wants_poll() ? 0 : kSleepNsMax / 100), MonotonicNow());
  }
  router_->Flush();
  const absl::Status closed = pool_->CloseClean();
  LogInfo(closed.ok() ? "stopped"
                      : absl::StrCat("stopped, not cleanly: ", std::string(closed.message())));
  return closed;
}

}  // namespace kvpager
