#include "engine_plugin/link.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ipc/page_table_layout.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::engine {
namespace {

constexpr uint64_t kFrameBytesMax = uint64_t{1} << 36;  // So that all frames of a tier fit 64 bits.

// The longest piece of a wait between two looks at the heartbeat.
constexpr uint64_t kSliceUs = 500'000;

absl::Status Contradiction(std::string_view what) {
  return absl::UnavailableError(
      absl::StrCat("the daemon's answer to the attach contradicts itself (", std::string(what),
                   "); is the library of the same release as the daemon?"));
}

// The numbers of the reply against each other and against what we asked for: everything later is
// computed from them.
absl::Status CheckPool(const PoolInfo& pool, const Geometry& geometry) {
  if (pool.page_tokens != geometry.page_tokens) return Contradiction("page_tokens");
  if (pool.num_groups != geometry.num_groups()) return Contradiction("num_groups");
  if (pool.frame_bytes_hbm != geometry.frame_bytes_hbm()) return Contradiction("frame_bytes_hbm");
  if (pool.frames_host != 0 && pool.frame_bytes_host < geometry.payload_bytes()) {
    return Contradiction("frame_bytes_host");
  }
  if (pool.frames_hbm == 0 || pool.frames_hbm > kFramesPerTierMax) {
    return Contradiction("frames_hbm");
  }
  if (pool.frames_host > kFramesPerTierMax) return Contradiction("frames_host");
  if (pool.frame_bytes_host > kFrameBytesMax) return Contradiction("frame_bytes_host");
  if (pool.blocks_max == 0) return Contradiction("blocks_max");
  if (pool.keys_per_command_max == 0) return Contradiction("keys_per_command_max");
  if (pool.entries_per_step_max == 0) return Contradiction("entries_per_step_max");
  return absl::OkStatus();
}

absl::StatusOr<ShmRegion> MapRegion(AttachClient& channel, std::string_view name, Access access,
                                    uint64_t bytes_min) {
  const RegionInfo* info = channel.FindRegion(name);
  if (info == nullptr) return Contradiction(absl::StrCat("no region ", std::string(name)));
  if (info->bytes < bytes_min) {
    return Contradiction(absl::StrCat("the size of region ", std::string(name)));
  }
  const uint64_t bytes = info->bytes;
  return ShmRegion::Map(name, channel.TakeRegion(name), bytes, access);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Link>> Link::Attach(const LinkOptions& options) {
  AttachRequest request = options.attach;
  request.ring = options.transport != Transport::kZmq;
  KVP_ASSIGN_OR_RETURN(AttachClient channel,
                       AttachClient::Attach(options.socket_path, request, options.timeout_us));
  const AttachReply& reply = channel.reply();
  KVP_RETURN_IF_ERROR(CheckPool(reply.pool, options.attach.geometry));
  KVP_ASSIGN_OR_RETURN(ShmRegion table_region, MapRegion(channel, kRegionPageTable,
                                                         Access::kReadOnly, kPageTableHeaderBytes));
  KVP_ASSIGN_OR_RETURN(PageTableReader table, PageTableReader::Create(std::move(table_region)));
  if (table.blocks_max() != reply.pool.blocks_max || table.num_groups() != reply.pool.num_groups) {
    return Contradiction("the page table is of another pool");
  }
  std::unique_ptr<Link> link(new Link(std::move(channel), std::move(table)));
  KVP_RETURN_IF_ERROR(link->MapFrames(options.attach.geometry));
  KVP_RETURN_IF_ERROR(link->Connect(options));
  KVP_RETURN_IF_ERROR(link->CheckAlive());
  return link;
}

absl::Status Link::Connect(const LinkOptions& options) {
  if (options.transport != Transport::kZmq) {
    if (channel_.FindRegion(kRegionRing) != nullptr) return ConnectRing(options);
    if (options.transport == Transport::kRing) {
      return absl::UnimplementedError(
          "this daemon gives no ring (ring.enabled); let transport be KVP_TRANSPORT_AUTO");
    }
  }
  ZmqClientOptions connect;
  connect.endpoint = channel_.reply().endpoint;
  connect.hangup_fd = channel_.fd();
  KVP_ASSIGN_OR_RETURN(zmq_, ZmqClient::Connect(connect));
  return absl::OkStatus();
}

absl::Status Link::ConnectRing(const LinkOptions& options) {
  KVP_ASSIGN_OR_RETURN(ShmRegion region,
                       MapRegion(channel_, kRegionRing, Access::kReadWrite, kRingRegionBytes));
  absl::StatusOr<Doorbell> bell = Doorbell::Adopt(channel_.TakeRegion(kRegionDoorbell));
  if (!bell.ok()) return Contradiction(std::string(bell.status().message()));
  ring_.emplace(
      RingPort(std::move(region), *std::move(bell), RingSide::kEngine),
      RingClientOptions{.hangup_fd = channel_.fd(), .spin_ns = uint64_t{options.spin_us} * 1000});
  return absl::OkStatus();
}

absl::Status Link::MapFrames(const Geometry& geometry) {
  const PoolInfo& pool_info = pool();
  if (pool_info.gpu != GpuUuid{}) {
    KVP_RETURN_IF_ERROR(MapGpu(geometry));
  } else {
    KVP_ASSIGN_OR_RETURN(hbm_, MapRegion(channel_, kRegionHbm, Access::kReadWrite,
                                         pool_info.frames_hbm * geometry.frame_bytes_hbm()));
  }
  KVP_ASSIGN_OR_RETURN(lanes_,
                       MapRegion(channel_, kRegionLanes, Access::kReadWrite, kLanesRegionBytes));
  if (pool_info.frames_host != 0) {
    KVP_ASSIGN_OR_RETURN(host_, MapRegion(channel_, kRegionHost, Access::kReadOnly,
                                          pool_info.frames_host * pool_info.frame_bytes_host));
  }
  return absl::OkStatus();
}

absl::Status Link::MapGpu(const Geometry& geometry) {
  std::vector<GpuPart> parts;
  uint64_t bytes = 0;
  while (const RegionInfo* info = channel_.FindRegion(GpuPartName(parts.size()))) {
    if (info->bytes == 0 || info->bytes > kFrameBytesMax * kFramesPerTierMax - bytes) {
      return Contradiction("the size of a GPU part");
    }
    bytes += info->bytes;
    parts.push_back({channel_.TakeRegion(info->name), info->bytes});
  }
  if (bytes < pool().frames_hbm * geometry.frame_bytes_hbm()) {
    return Contradiction("the GPU's parts are smaller than the pool");
  }
  KVP_ASSIGN_OR_RETURN(gpu_, GpuPool::Import(pool().gpu, std::move(parts)));
  return absl::OkStatus();
}

Link::~Link() {
  if (lanes_.data() != nullptr) lanes().left().store(1);
}

absl::Status Link::Revoked() {
  return absl::AbortedError(
      "the daemon has revoked this client: a step took longer than its lease, or an administrator "
      "asked for it; discard what came of the steps that were open, close this client and open a "
      "new one");
}

absl::Status Link::Explain(absl::Status status) const {
  if (absl::IsUnavailable(status)) KVP_RETURN_IF_ERROR(CheckRevoked());
  return status;
}

absl::Status Link::CheckAlive() const {
  KVP_RETURN_IF_ERROR(CheckRevoked());
  if (page_table_.state() == PageTableState::kStopped) {
    return absl::UnavailableError(
        "the daemon was stopped; close this client, and open a new one when it is back");
  }
  if (channel_.HungUp()) {
    return absl::UnavailableError(
        "the daemon is gone: its socket hung up; close this client and open a new one");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Link::EventFd() {
  if (wakeup_ == nullptr) {
    const int fds[] = {ring_.has_value() ? ring_->bell_fd() : zmq_->fd(), channel_.fd()};
    KVP_ASSIGN_OR_RETURN(wakeup_, Wakeup::Create(fds));
    Settle();
  }
  return wakeup_->fd();
}

void Link::Hush() {
  if (wakeup_ == nullptr) return;
  wakeup_->Clear();
  if (ring_.has_value()) ring_->Hush();
}

void Link::Settle() {
  if (wakeup_ == nullptr) return;
  using WantsRoom = ZmqClient::WantsRoom;
  const bool idle = ring_.has_value()
                        ? ring_->Arm()
                        : zmq_->is_idle(wants_room_ ? WantsRoom::kYes : WantsRoom::kNo);
  if (!idle) wakeup_->Set();
}

absl::Status Link::Send(absl::Span<const uint8_t> bytes) {
  const absl::Status sent =
      ring_.has_value() ? ring_->Send(bytes) : zmq_->Send(bytes, Deadline::AfterUs(0));
  wants_room_ = absl::IsDeadlineExceeded(sent);
  Settle();
  return Explain(sent);
}

absl::Status Link::ReceiveOnce(const Deadline& deadline, MessageBytes& bytes) {
  return ring_.has_value() ? ring_->Receive(deadline, bytes) : zmq_->Receive(deadline, bytes);
}

absl::Status Link::CheckTurning(uint64_t since_ns) const {
  const uint64_t turned_ns = std::max(since_ns, page_table_.heartbeat_ns());
  if (MonotonicNs() <= turned_ns + kHeartbeatLostNs) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the daemon has not turned its loop for ", kHeartbeatLostNs / 1'000'000'000,
                   " s: it hangs or is stopped; close this client and open a new one"));
}

absl::Status Link::Receive(const Deadline& deadline, MessageBytes& bytes) {
  const absl::Status received = ReceiveBy(deadline, bytes);
  Settle();
  return received;
}

absl::Status Link::ReceiveBy(const Deadline& deadline, MessageBytes& bytes) {
  const uint64_t begin_ns = MonotonicNs();
  while (true) {
    const Deadline slice =
        Deadline::AfterUs(std::min(kSliceUs, deadline.remaining_ns() / 1000 + 1));
    const absl::Status received = ReceiveOnce(deadline.passed() ? deadline : slice, bytes);
    if (!absl::IsDeadlineExceeded(received)) return Explain(received);
    KVP_RETURN_IF_ERROR(CheckAlive());
    if (deadline.passed()) return received;
    KVP_RETURN_IF_ERROR(CheckTurning(begin_ns));
  }
}

}  // namespace kvpager::engine
