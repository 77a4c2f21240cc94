// engine_plugin/link.h
//
// The line to the daemon: the handshake, the mapped regions, and messages both ways, through a ring
// in shared memory or ZeroMQ. It knows bytes and whether the daemon is alive, not what the messages
// mean.
//
// A daemon is gone when the attach socket hangs up, when its page table says that it has stopped,
// or when it has not turned its loop for kHeartbeatLostNs although somebody waits for it. After
// that every call is kUnavailable; what is mapped stays mapped, so kernels that run finish safely.
//
// Ownership: sockets and mappings; the destructor detaches. REQUIRES: no kernel of this client runs
// any more when it is destroyed. Thread-safety: one thread at a time.
// Errors: kUnavailable the daemon is gone; kAborted it has revoked this client; Attach, whatever
// the daemon refuses with.

#ifndef KVPAGER_ENGINE_PLUGIN_LINK_H_
#define KVPAGER_ENGINE_PLUGIN_LINK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine_plugin/gpu_pool.h"
#include "engine_plugin/wakeup.h"
#include "ipc/attach.h"
#include "ipc/deadline.h"
#include "ipc/fd_channel.h"
#include "ipc/lanes.h"
#include "ipc/page_table_reader.h"
#include "ipc/ring_client.h"
#include "ipc/shm_region.h"
#include "ipc/zmq_client.h"
#include "memmgr/base/geometry.h"

namespace kvpager::engine {

inline constexpr uint64_t kHeartbeatLostNs = 10'000'000'000;

enum class Transport {
  kAutomatic,  // The ring if the daemon has one for us, else ZeroMQ.
  kZmq,
  kRing,  // Nothing else: kUnimplemented where there is none.
};

struct LinkOptions {
  std::string socket_path;
  AttachRequest attach;  // `ring` follows from `transport`.
  uint64_t timeout_us = 0;
  Transport transport = Transport::kAutomatic;
  uint32_t spin_us = 0;  // How long a wait on the ring looks again before it sleeps.
};

class Link {
 public:
  static absl::StatusOr<std::unique_ptr<Link>> Attach(const LinkOptions& options);
  ~Link();

  const PoolInfo& pool() const { return channel_.reply().pool; }
  const SessionToken& session() const { return channel_.reply().session; }
  const PageTableReader& page_table() const { return page_table_; }
  // Of frame 0; an address of the GPU if on_gpu().
  uint8_t* hbm() const { return gpu_ == nullptr ? hbm_.data() : gpu_->base(); }
  bool on_gpu() const { return gpu_ != nullptr; }
  SharedLanes& lanes() const { return *reinterpret_cast<SharedLanes*>(lanes_.data()); }
  uint8_t* host() const { return host_.data(); }  // Read-only; null where there is none.

  // kAborted if the daemon has revoked this client; ask behind the last read of a step. One load.
  absl::Status CheckRevoked() const {
    return lanes().revoked().load() == 0 ? absl::OkStatus() : Revoked();
  }

  // kAborted as above; kUnavailable if the daemon is known to be gone. One system call.
  absl::Status CheckAlive() const;

  // Never waits. kDeadlineExceeded: the queue is full and nothing was sent.
  absl::Status Send(absl::Span<const uint8_t> bytes);

  // kDeadlineExceeded: nothing came in time.
  absl::Status Receive(const Deadline& deadline, MessageBytes& bytes);

  // kUnavailable if the daemon has not turned its loop although we have waited since `since_ns`.
  absl::Status CheckTurning(uint64_t since_ns) const;

  // For an event loop. The first call makes the descriptor; from then on, whenever no call is in
  // progress, it is readable if there is something to receive, room for what could not be sent, if
  // the daemon has hung up, or if wakeup() says so.
  absl::StatusOr<int> EventFd();
  Wakeup* wakeup() const { return wakeup_.get(); }  // Null before the first EventFd.
  // What it was readable for is about to be looked for: receive until nothing comes.
  void Hush();

 private:
  Link(AttachClient channel, PageTableReader page_table)
      : channel_(std::move(channel)), page_table_(std::move(page_table)) {}
  absl::Status MapFrames(const Geometry& geometry);
  absl::Status MapGpu(const Geometry& geometry);
  absl::Status Connect(const LinkOptions& options);
  absl::Status ConnectRing(const LinkOptions& options);
  absl::Status ReceiveOnce(const Deadline& deadline, MessageBytes& bytes);
  absl::Status ReceiveBy(const Deadline& deadline, MessageBytes& bytes);
  // Makes the descriptor right again after bytes have moved.
  void Settle();
  static absl::Status Revoked();
  // What `status` is when the daemon did it on purpose.
  absl::Status Explain(absl::Status status) const;

  AttachClient channel_;
  PageTableReader page_table_;
  ShmRegion hbm_;  // One of the two.
  std::unique_ptr<GpuPool> gpu_;
  ShmRegion lanes_;
  ShmRegion host_;
  // One of the two.
  std::optional<RingClient> ring_;
  std::unique_ptr<ZmqClient> zmq_;
  bool wants_room_ = false;         // The last message found the queue full.
  std::unique_ptr<Wakeup> wakeup_;  // Watches what is above.
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_LINK_H_
