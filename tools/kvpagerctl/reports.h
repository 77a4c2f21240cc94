// tools/kvpagerctl/reports.h
//
// What the daemon said, as plain values: the tables and the JSON are made from the same ones.

#ifndef KVPAGER_TOOLS_KVPAGERCTL_REPORTS_H_
#define KVPAGER_TOOLS_KVPAGERCTL_REPORTS_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "memmgr/base/ids.h"
#include "tools/kvpagerctl/connection.h"

namespace kvpager::ctl {

struct TierReport {
  std::string name;
  uint64_t frames = 0;
  uint64_t frames_free = 0;
  uint64_t frame_bytes = 0;
  uint64_t pages_clean = 0;
  uint64_t pages_pinned = 0;
  uint64_t blocks = 0;
  std::string detail;
  bool in_service = false;

  uint64_t frames_used() const { return frames - frames_free; }
};

struct NamespaceReport {
  struct Tier {
    uint64_t frames = 0;
    uint64_t guaranteed_frames = 0;
    uint64_t max_frames = 0;
  };
  std::string name;
  uint32_t share = 1;
  std::array<Tier, kTierCount> tiers;
};

struct StatusReport {
  std::string version;
  uint32_t pid = 0;
  uint64_t uptime_us = 0;
  std::string pool;
  std::string geometry;
  std::string model;
  uint32_t engines = 0;
  uint32_t sequences = 0;
  uint32_t steps = 0;
  std::vector<TierReport> tiers;
  std::map<std::string, uint64_t> counters;
  std::vector<NamespaceReport> namespaces;

  uint64_t counter(const std::string& name) const;  // 0 if there is none.
};

// What an operator should look into.
struct Warning {
  std::string name;  // "BLOCKS_LOST"
  std::string text;
};

struct SequenceReport {
  SequenceId sequence;
  uint32_t client = 0;
  std::string name_space;
  uint64_t length_tokens = 0;
  uint32_t blocks = 0;
  uint32_t steps = 0;
  std::array<uint64_t, kTierCount> pages{};
  bool suspended = false;
};

struct ClientReport {
  uint32_t client = 0;
  uint32_t pid = 0;
  uint32_t uid = 0;
  std::string name;
  std::string name_space;
  uint32_t sequences = 0;
  uint32_t steps = 0;
  uint64_t requests = 0;
  uint64_t attached_us = 0;
  std::string state;
  uint64_t step_oldest_us = 0;  // How long it has been inside its oldest step.
  uint64_t pages_pinned = 0;
  uint64_t frames_limbo = 0;
  uint64_t frames_quarantined = 0;
};

absl::StatusOr<StatusReport> AskStatus(Connection& connection);
absl::StatusOr<std::vector<SequenceReport>> AskSequences(Connection& connection);
absl::StatusOr<SequenceReport> AskSequence(Connection& connection, SequenceId sequence);
absl::StatusOr<std::vector<ClientReport>> AskClients(Connection& connection);

std::vector<Warning> WarningsOf(const StatusReport& status);

// json_text.cc: the only source that includes nlohmann-json. One line each, no newline at the end.
std::string StatusJson(const StatusReport& status, const std::vector<Warning>& warnings);
std::string NamespacesJson(const StatusReport& status);
std::string TiersJson(const StatusReport& status);
std::string SequencesJson(const std::vector<SequenceReport>& sequences);
std::string SequenceJson(const SequenceReport& sequence);
std::string ClientsJson(const std::vector<ClientReport>& clients);
std::string RevokeJson(uint32_t client, uint64_t frames_quarantined);
std::string VersionJson(const std::string& own, const std::string& daemon);
std::string DoneJson(const std::string& verb, SequenceId sequence);

}  // namespace kvpager::ctl

#endif  // KVPAGER_TOOLS_KVPAGERCTL_REPORTS_H_
