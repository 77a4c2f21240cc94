#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/wire.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpagerctl/commands.h"
#include "tools/kvpagerctl/reports.h"
#include "tools/kvpagerctl/text.h"

namespace kvpager::ctl {
namespace {

std::string ClientsText(const std::vector<ClientReport>& clients) {
  if (clients.empty()) return "no engines attached\n";
  Table table({"CLIENT", "ENGINE", "NAMESPACE", "PID", "UID", "STATE", "SEQS", "STEPS", "IN STEP",
               "PINNED", "LIMBO", "KEPT", "REQUESTS", "ATTACHED"});
  for (const ClientReport& client : clients) {
    table.Add({absl::StrCat(client.client), client.name.empty() ? "(unnamed)" : client.name,
               client.name_space, absl::StrCat(client.pid), absl::StrCat(client.uid), client.state,
               CountText(client.sequences), CountText(client.steps),
               client.step_oldest_us == 0 ? "-" : DurationText(client.step_oldest_us),
               CountText(client.pages_pinned), CountText(client.frames_limbo),
               CountText(client.frames_quarantined), CountText(client.requests),
               DurationText(client.attached_us)});
  }
  return table.Text(0);
}

// kNotFound if no such engine is attached.
absl::StatusOr<ClientReport> FindClient(Connection& connection, uint32_t id) {
  KVP_ASSIGN_OR_RETURN(const std::vector<ClientReport> clients, AskClients(connection));
  for (const ClientReport& client : clients) {
    if (client.client == id) return client;
  }
  return absl::NotFoundError(
      absl::StrCat("no engine ", id, " is attached; see kvpagerctl clients"));
}

std::string RevokedText(const ClientReport& client, uint64_t frames_kept) {
  const std::string who = absl::StrCat("engine ", client.client, " (pid ", client.pid, ")");
  if (frames_kept == 0) return who + ": revoked\n";
  return absl::StrCat(who, ": revoked, but kvpagerd may not kill it; ", CountText(frames_kept),
                      " frames that it could write are kept until it has ended: end it\n");
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

// The pid goes along: the number may be another engine's by now.
absl::StatusOr<Printout> RunRevoke(Connection& connection, const Options& options) {
  KVP_ASSIGN_OR_RETURN(const ClientReport client, FindClient(connection, options.client));
  flatbuffers::FlatBufferBuilder builder;
  const auto request = wire::CreateRevokeRequest(builder, client.client, client.pid);
  KVP_RETURN_IF_ERROR((connection.AskFor<wire::Answer>(builder, request)).status());
  const absl::StatusOr<ClientReport> after = FindClient(connection, options.client);
  const bool lives_on = after.ok() && after->pid == client.pid;
  const uint64_t frames_kept = lives_on ? after->frames_quarantined : 0;
  return Printout{options.json ? RevokeJson(client.client, frames_kept) + "\n"
                               : RevokedText(client, frames_kept)};
}

}  // namespace kvpager::ctl
