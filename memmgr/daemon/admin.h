// memmgr/daemon/admin.h
//
// What administrators ask of the daemon itself: status, sequences, clients.
//
// Complexity: status O(1); sequences O(blocks of those listed), at most kSequencesPerReply; clients
// O(blocks of all sequences).

#ifndef KVPAGER_MEMMGR_DAEMON_ADMIN_H_
#define KVPAGER_MEMMGR_DAEMON_ADMIN_H_

#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/namespaces.h"
#include "memmgr/daemon/pool.h"
#include "memmgr/daemon/reception.h"
#include "memmgr/daemon/server.h"

namespace kvpager {

inline constexpr uint32_t kSequencesPerReply = 64;
inline constexpr const char* kVersion = KVPAGER_VERSION;  // CMake's project version.

// What the answers are made of.
struct AdminView {
  const Config& config;
  const NamespaceTable& namespaces;
  Pool* pool = nullptr;  // Null before the first attach.
  const Reception& reception;
  Instant started_at;
  Instant now;
  uint64_t lease_clock_ns = 0;  // Ages of held steps are of this clock.
};

void AnswerQuery(const AdminQuery& query, const AdminView& view, Server& server);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_ADMIN_H_
