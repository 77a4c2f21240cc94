#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpagerctl/commands.h"
#include "tools/kvpagerctl/reports.h"
#include "tools/kvpagerctl/text.h"

namespace kvpager::ctl {
namespace {

std::string ClientsText(const std::vector<ClientReport>& clients) {
  if (clients.empty()) return "no engines attached\n";
  Table table(
      {"CLIENT", "ENGINE", "NAMESPACE", "PID", "UID", "SEQS", "STEPS", "REQUESTS", "ATTACHED"});
  for (const ClientReport& client : clients) {
    table.Add({absl::StrCat(client.client), client.name.empty() ? "(unnamed)" : client.name,
               client.name_space, absl::StrCat(client.pid), absl::StrCat(client.uid),
               CountText(client.sequences), CountText(client.steps), CountText(client.requests),
               DurationText(client.attached_us)});
  }
  return table.Text(0);
}

std::string NamespacesText(const StatusReport& status) {
  if (status.namespaces.empty()) return "no namespaces yet: no engine has attached\n";
  Table table({"NAMESPACE", "SHARE", "TIER", "FRAMES", "GUARANTEED", "MAX"});
  for (const NamespaceReport& entry : status.namespaces) {
    for (size_t i = 0; i < status.tiers.size() && i < entry.tiers.size(); ++i) {
      if (!status.tiers[i].in_service) continue;
      const NamespaceReport::Tier& tier = entry.tiers[i];
      table.Add({entry.name, absl::StrCat(entry.share), status.tiers[i].name,
                 CountText(tier.frames), CountText(tier.guaranteed_frames),
                 CountText(tier.max_frames)});
    }
  }
  return table.Text(2);
}

}  // namespace

absl::StatusOr<Printout> RunNamespaces(Connection& connection, const Options& options) {
  KVP_ASSIGN_OR_RETURN(const StatusReport status, AskStatus(connection));
  return Printout{options.json ? NamespacesJson(status) + "\n" : NamespacesText(status)};
}

absl::StatusOr<Printout> RunClients(Connection& connection, const Options& options) {
  KVP_ASSIGN_OR_RETURN(const std::vector<ClientReport> clients, AskClients(connection));
  return Printout{options.json ? ClientsJson(clients) + "\n" : ClientsText(clients)};
}

}  // namespace kvpager::ctl
