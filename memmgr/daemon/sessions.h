// memmgr/daemon/sessions.h
//
// Who is attached. A session is an engine, in the core's slot of the same number, or an
// administrator, behind them.
//
//   free --Add--> attached --------- gone ---------> leaving --Free--> free
//                    |                                  ^
//                    +--hangs up, steps may run--> hung up
//                    +--three malformed messages--> cut off
//                    +--lease, administrator-----> revoked
//
// An engine is gone when its process has ended, or when it hangs up and none of its steps runs. One
// that is cut off or revoked is told by the end of its connection, but keeps its slot until it is
// gone: its kernels may still run on frames it holds. `leaving` lasts until the core has released
// everything.
//
// Ownership: the connection, the process descriptor, the lanes, the ring. Thread-safety: one
// thread.

#ifndef KVPAGER_MEMMGR_DAEMON_SESSIONS_H_
#define KVPAGER_MEMMGR_DAEMON_SESSIONS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/fd_channel.h"
#include "ipc/lanes.h"
#include "ipc/ring_port.h"
#include "ipc/session_token.h"
#include "ipc/shm_region.h"
#include "ipc/zmq_server.h"
#include "memmgr/base/ids.h"
#include "memmgr/daemon/keys.h"
#include "memmgr/daemon/leases.h"

namespace kvpager {

inline constexpr uint32_t kAdminSessionsMax = 16;
inline constexpr uint32_t kStrikesMax = 3;  // Malformed messages until a client is cut off.

// A request of an administrator, who may have left meanwhile.
struct AdminRequest {
  SessionToken token;
  uint64_t request = 0;
};

struct Session {
  enum class State { kFree, kAttached, kHungUp, kCutOff, kRevoked, kLeaving };

  State state = State::kFree;
  bool admin = false;
  uint32_t index = 0;
  PeerIdentity identity;
  std::string namespace_name;
  std::string engine_name;
  NamespaceId name_space;
  SessionToken token;
  RoutingId peer;  // Where it last wrote from; empty before.
  std::optional<AttachPeer> connection;
  bool hang_up_seen = false;  // Only its process is watched any more.
  ShmRegion lanes;
  std::optional<RingPort> ring;  // Its requests come here, and nowhere else.
  bool message_free = false;     // It keeps its lanes.
  std::optional<KeyDeriver> keys;
  uint32_t requests_in_flight = 0;
  uint32_t strikes = 0;
  uint64_t requests = 0;
  Instant attached_at;
  HeldSteps held_steps;
  bool overdue = false;      // It has been inside one step for half a lease.
  bool taken_apart = false;  // Revoked, and only what it could write is left.
  // Administrators who wait until it is revoked.
  std::vector<AdminRequest> revokers;

  // REQUIRES: an engine, not free.
  SharedLanes& shared_lanes() const { return *reinterpret_cast<SharedLanes*>(lanes.data()); }

  ClientId client() const { return admin ? ClientId{} : ClientId{index}; }
};

class SessionTable {
 public:
  explicit SessionTable(uint32_t engines_max);

  // A free session with a fresh token, attached. kResourceExhausted if there is none.
  absl::StatusOr<Session*> Add(bool admin);
  void Free(Session& session);

  Session& at(uint32_t index);
  Session* FindByToken(const SessionToken& token);  // Null: nobody's. Cut-off and leaving: nobody.
  Session* FindByPeer(const RoutingId& peer);

  // Remembers where a session writes from.
  void SetPeer(Session& session, const RoutingId& peer);
  // From now on its messages are nobody's.
  void Silence(Session& session, Session::State state);

  uint32_t engines() const { return engines_; }  // Attached, cut off or leaving.
  uint32_t size() const { return static_cast<uint32_t>(sessions_.size()); }

 private:
  std::vector<Session> sessions_;
  uint32_t engines_max_;
  uint32_t engines_ = 0;
  std::map<SessionToken, uint32_t> by_token_;
  std::map<RoutingId, uint32_t> by_peer_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_SESSIONS_H_
