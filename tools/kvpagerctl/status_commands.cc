#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/default_paths.h"
#include "ipc/wire_version.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpagerctl/commands.h"
#include "tools/kvpagerctl/reports.h"
#include "tools/kvpagerctl/text.h"

namespace kvpager::ctl {
namespace {

ByteUnits UnitsOf(const Options& options) {
  return options.raw_bytes ? ByteUnits::kRaw : ByteUnits::kScaled;
}

std::string HealthText(const std::vector<Warning>& warnings) {
  if (warnings.empty()) return "HEALTH_OK\n";
  std::string text = absl::StrCat("HEALTH_WARN  ", warnings.size(),
                                  warnings.size() == 1 ? " warning\n" : " warnings\n");
  for (const Warning& warning : warnings) {
    absl::StrAppend(&text, "  ", warning.name, "  ", warning.text, "\n");
  }
  return text;
}

std::string HitsText(const StatusReport& status) {
  const uint64_t asked = status.counter("lookup_blocks");
  std::string text = absl::StrCat("  lookups   ", CountText(asked), " blocks");
  for (const char* tier : {"hbm", "host", "nvme"}) {
    absl::StrAppend(&text, "   ", tier, " ",
                    ShareText(status.counter(absl::StrCat("hit_blocks_", tier)), asked));
  }
  return text + "\n";
}

std::string StepsText(const StatusReport& status) {
  return absl::StrCat("  steps     ", CountText(status.counter("steps_begun")), " begun, ",
                      CountText(status.counter("steps_ready_at_once")), " ready at once, ",
                      CountText(status.counter("steps_waited_for_room")), " waited for room, ",
                      CountText(status.counter("steps_lost")), " lost\n");
}

std::string StatusText(const StatusReport& status, const std::vector<Warning>& warnings,
                       ByteUnits units) {
  std::string text = HealthText(warnings);
  absl::StrAppend(&text, "  daemon    kvpagerd ", status.version, "  pid ", status.pid, "  up ",
                  DurationText(status.uptime_us), "  proto ", kWireMajor, ".", kWireMinor, "\n");
  if (status.pool.empty()) return text + "  pool      none: no engine has attached yet\n";
  absl::StrAppend(&text, "  pool      ", status.pool, ": ", status.geometry, ", model ",
                  status.model.empty() ? "-" : status.model, "\n");
  absl::StrAppend(&text, "  engines   ", status.engines, " attached   sequences ",
                  CountText(status.sequences), "   steps ", CountText(status.steps), "\n");
  absl::StrAppend(&text, HitsText(status), StepsText(status));
  Table table({"TIER", "CAP", "USED", "", "BLOCKS", "CLEAN", "PINNED"});
  for (const TierReport& tier : status.tiers) {
    if (!tier.in_service) {
      table.Add({tier.name, "off", "-", "-", "-", "-", "-"});
      continue;
    }
    table.Add({tier.name, BytesText(tier.frames * tier.frame_bytes, units),
               BytesText(tier.frames_used() * tier.frame_bytes, units),
               ShareText(tier.frames_used(), tier.frames), CountText(tier.blocks),
               CountText(tier.pages_clean), CountText(tier.pages_pinned)});
  }
  return text + table.Text(2);
}

// Bytes that came into a tier, and that went out of it to the next one below.
struct Traffic {
  const char* in[2];
  const char* out[2];
};

Traffic TrafficOf(const std::string& tier) {
  if (tier == "hbm") return {{"host_to_hbm", ""}, {"hbm_to_host", ""}};
  if (tier == "nvme") return {{"host_to_nvme", ""}, {"nvme_to_host", ""}};
  return {{"hbm_to_host", "nvme_to_host"}, {"host_to_hbm", "host_to_nvme"}};
}

uint64_t Moved(const StatusReport& status, const char* const (&links)[2]) {
  uint64_t bytes = 0;
  for (const char* link : links) {
    bytes += status.counter(absl::StrCat("moved_bytes_", link));
  }
  return bytes;
}

std::string TiersText(const StatusReport& status, ByteUnits units) {
  if (status.tiers.empty()) return "no tiers yet: no engine has attached\n";
  Table table({"tier", "used", "free", "clean", "pinned", "blocks", "in", "out", "backed by"});
  for (const TierReport& tier : status.tiers) {
    if (!tier.in_service) {
      table.Add({tier.name, "-", "-", "-", "-", "-", "-", "-", tier.detail});
      continue;
    }
    const Traffic traffic = TrafficOf(tier.name);
    table.Add({tier.name, BytesText(tier.frames_used() * tier.frame_bytes, units),
               BytesText(tier.frames_free * tier.frame_bytes, units), CountText(tier.pages_clean),
               CountText(tier.pages_pinned), CountText(tier.blocks),
               BytesText(Moved(status, traffic.in), units),
               BytesText(Moved(status, traffic.out), units), tier.detail});
  }
  return table.Text(0);
}

}  // namespace

absl::StatusOr<Printout> RunStatus(Connection& connection, const Options& options) {
  KVP_ASSIGN_OR_RETURN(const StatusReport status, AskStatus(connection));
  const std::vector<Warning> warnings = WarningsOf(status);
  Printout printout;
  printout.text = options.json ? StatusJson(status, warnings) + "\n"
                               : StatusText(status, warnings, UnitsOf(options));
  if (options.check && !warnings.empty()) printout.exit_code = kExitFailed;
  return printout;
}

absl::StatusOr<Printout> RunTiers(Connection& connection, const Options& options) {
  KVP_ASSIGN_OR_RETURN(const StatusReport status, AskStatus(connection));
  return Printout{options.json ? TiersJson(status) + "\n" : TiersText(status, UnitsOf(options))};
}

absl::StatusOr<Printout> RunVersion(const Options& options) {
  std::string daemon;
  const std::string path = options.socket_path.empty() ? ClientSocketPath() : options.socket_path;
  if (absl::StatusOr<Connection> connection = Connection::Open(path, options.timeout_us);
      connection.ok()) {
    if (const auto status = AskStatus(*connection); status.ok()) daemon = status->version;
  }
  if (options.json) return Printout{VersionJson(KVPAGER_VERSION, daemon) + "\n"};
  return Printout{absl::StrCat("kvpagerctl ", KVPAGER_VERSION, "  proto ", kWireMajor, ".",
                               kWireMinor, "\nkvpagerd   ",
                               daemon.empty() ? "not reachable" : daemon, "\n")};
}

}  // namespace kvpager::ctl
