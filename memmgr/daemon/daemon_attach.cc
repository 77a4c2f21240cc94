// How clients attach: who they are, what they may, and what they are handed.

#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/ring_port.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/daemon/daemon.h"
#include "memmgr/daemon/log.h"

namespace kvpager {
namespace {

// Puts the ring and the doorbell behind the other regions. Returns the engine's end of the
// doorbell, whose number is in `fds`.
absl::StatusOr<UniqueFd> GiveRing(Session& session, AttachReply& reply, std::vector<int>& fds) {
  absl::StatusOr<ShmRegion> region = RingPort::MakeRegion();
  if (!region.ok()) return region.status();
  absl::StatusOr<std::pair<Doorbell, UniqueFd>> bells = Doorbell::MakePair();
  if (!bells.ok()) return bells.status();
  session.ring.emplace(*std::move(region), std::move(bells->first), RingSide::kDaemon);
  reply.regions.push_back({std::string(kRegionRing), kRingRegionBytes, true});
  reply.regions.push_back({std::string(kRegionDoorbell), 0, false});
  fds.push_back(session.ring->region_fd());
  fds.push_back(bells->second.get());
  return std::move(bells->second);
}

// Who follows addresses with the CPU cannot have frames on a GPU, nor the other way round.
absl::Status CheckReach(const AttachRequest& request, const Config& config) {
  if (request.gpu == config.hbm_on_gpu) return absl::OkStatus();
  if (request.gpu) {
    return absl::FailedPreconditionError(
        "this engine wants frames on a GPU, and the daemon's are in ordinary memory; start it with "
        "--hbm.device=cuda:0, or open the client with memory = KVP_MEMORY_HOST");
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the daemon's frames are on the GPU cuda:", config.gpu_ordinal,
      ", and this engine reads them with the CPU; open the client with memory = KVP_MEMORY_CUDA, "
      "or start the daemon with --hbm.device=host"));
}

// The pool's frames: one region of memory, or the parts of it that a GPU has.
void AddFrames(const Device& device, AttachReply& reply, std::vector<int>& fds) {
  const bool on_gpu = device.gpu().has_value();
  const absl::Span<const DevicePart> parts = device.parts();
  for (size_t i = 0; i < parts.size(); ++i) {
    reply.regions.push_back(
        {on_gpu ? GpuPartName(i) : std::string(kRegionHbm), parts[i].bytes, true});
    fds.push_back(parts[i].fd);
  }
}
static_assert(kDevicePartsMax == kGpuPartsMax);

}  // namespace

void Daemon::ServeAttaches(Instant now) {
  while (std::optional<Ask> ask = reception_->NextAsk()) {
    const absl::Status status = Attach(*ask, now);
    if (!status.ok() && reception_->holds(*ask)) reception_->Refuse(*ask, status);
  }
}

absl::Status Daemon::Attach(const Ask& ask, Instant now) {
  return ask.request.admin ? AttachAdmin(ask, now) : AttachEngine(ask, now);
}

absl::Status Daemon::AttachAdmin(const Ask& ask, Instant now) {
  if (ask.identity.uid != 0 && ask.identity.uid != geteuid()) {
    return absl::PermissionDeniedError(
        absl::StrCat("administrators must be root or the daemon's own user (uid ", geteuid(), ")"));
  }
  KVP_ASSIGN_OR_RETURN(Session* const session, server_->AddSession(true));
  session->engine_name = ask.request.engine_name;
  AttachReply reply;
  reply.client = ClientId::kNone;
  reply.session = session->token;
  reply.endpoint = server_->endpoint();
  absl::StatusOr<AttachPeer> connection = reception_->Welcome(ask, reply, {});
  if (!connection.ok()) {
    server_->DropSession(*session);
    return connection.status();
  }
  server_->Connect(*session, *std::move(connection), now);
  return absl::OkStatus();
}

absl::Status Daemon::EnsurePool(const PoolIdentity& identity) {
  if (pool_ != nullptr) return pool_->Match(identity);
  absl::StatusOr<std::unique_ptr<Pool>> pool = Pool::Create(config_, directory_, identity);
  if (!pool.ok()) {
    LogError(absl::StrCat("cannot make the pool: ", std::string(pool.status().message())));
    return pool.status();
  }
  pool_ = *std::move(pool);
  router_.emplace(pool_.get(), server_.get());
  effects_ = pool_->core().MakeEffects();
  server_->SetBounds({.keys_max = pool_->limits().keys_per_command_max,
                      .step_entries_max = pool_->limits().step_entries_per_step_max});
  waiter_.Add(pool_->device_copies().ready_fd(), {WakeKind::kExecutor});
  if (pool_->nvme_executor() != nullptr) {
    waiter_.Add(pool_->nvme_executor()->ready_fd(), {WakeKind::kExecutor});
    waiter_.Add(pool_->catalogue()->ready_fd(), {WakeKind::kExecutor});
    if (pool_->headers_fd() >= 0) waiter_.Add(pool_->headers_fd(), {WakeKind::kExecutor});
  }
  return absl::OkStatus();
}

absl::Status Daemon::AttachEngine(const Ask& ask, Instant now) {
  const AttachRequest& request = ask.request;
  KVP_RETURN_IF_ERROR(request.geometry.Validate(1));
  KVP_ASSIGN_OR_RETURN(const NamespaceId name_space,
                       namespaces_.Admit(request.name_space, request.token));
  KVP_RETURN_IF_ERROR(CheckReach(request, config_));
  KVP_RETURN_IF_ERROR(EnsurePool({request.pool, request.geometry, request.model}));
  KVP_RETURN_IF_ERROR(
      pool_->PrepareNamespace(name_space, namespaces_.NameOf(name_space), directory_));
  absl::StatusOr<ShmRegion> lanes = ShmRegion::Create("kvpager-lanes", kLanesRegionBytes);
  if (!lanes.ok()) return lanes.status();
  KVP_ASSIGN_OR_RETURN(Session* const session, server_->AddSession(false));
  session->engine_name = request.engine_name;
  session->name_space = name_space;
  session->namespace_name = namespaces_.NameOf(name_space);
  session->lanes = *std::move(lanes);
  new (session->lanes.data()) SharedLanes{};
  session->message_free = request.message_free;
  session->keys.emplace(namespaces_.SecretOf(name_space), Fingerprint(request.geometry),
                        request.model);
  AttachReply reply;
  reply.client = session->index;
  reply.session = session->token;
  reply.endpoint = server_->endpoint();
  reply.pool = pool_->info();
  reply.regions = {{std::string(kRegionPageTable), pool_->page_table().bytes(), false}};
  std::vector<int> fds = {pool_->page_table().fd()};
  AddFrames(pool_->device(), reply, fds);
  reply.regions.push_back({std::string(kRegionHost), pool_->arena().bytes(), false});
  fds.push_back(pool_->arena().fd());
  reply.regions.push_back({std::string(kRegionLanes), session->lanes.bytes(), true});
  fds.push_back(session->lanes.fd());
  UniqueFd engine_bell;
  if (request.ring && config_.ring_enabled) {
    absl::StatusOr<UniqueFd> bell = GiveRing(*session, reply, fds);
    if (!bell.ok()) {
      server_->DropSession(*session);
      return bell.status();
    }
    engine_bell = *std::move(bell);
  }
  absl::StatusOr<AttachPeer> connection = reception_->Welcome(ask, reply, fds);
  if (!connection.ok()) {
    server_->DropSession(*session);
    return connection.status();
  }
  const ClientId client = session->client();
  server_->Connect(*session, *std::move(connection), now);
  Step(now,
       {.client = client, .request = 0, .body = AttachCommand{name_space, request.message_free}});
  return absl::OkStatus();
}

}  // namespace kvpager
