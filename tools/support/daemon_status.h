// tools/support/daemon_status.h
//
// Asks the daemon for its counters, as kvpagerctl does: what moved over which link is known there
// alone. Replay works without it.

#ifndef KVPAGER_TOOLS_SUPPORT_DAEMON_STATUS_H_
#define KVPAGER_TOOLS_SUPPORT_DAEMON_STATUS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace kvpager::tools {

struct DaemonStatus {
  std::string version;
  uint32_t pid = 0;
  std::map<std::string, std::string> tier_details;  // By tier name.
  std::map<std::string, uint64_t> counters;

  // 0 where there is no such counter.
  uint64_t Counter(const std::string& name) const {
    const auto found = counters.find(name);
    return found == counters.end() ? 0 : found->second;
  }
};

// `socket` empty: where libkvpager looks. `engine_name` is for people: who asks.
absl::StatusOr<DaemonStatus> AskDaemon(const std::string& socket, const std::string& engine_name);

}  // namespace kvpager::tools

#endif  // KVPAGER_TOOLS_SUPPORT_DAEMON_STATUS_H_
