// JSON for programs: a "schema" that changes with the meaning of a key, numbers as numbers, units
// in the names of keys.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/kvpagerctl/options.h"
#include "tools/kvpagerctl/reports.h"

namespace kvpager::ctl {
namespace {

using Json = nlohmann::ordered_json;

Json Schema(const char* name) { return {{"schema", std::string("kvpager.") + name + "/1"}}; }

Json TierList(const StatusReport& status) {
  Json tiers = Json::array();
  for (const TierReport& tier : status.tiers) {
    tiers.push_back({{"tier", tier.name},
                     {"in_service", tier.in_service},
                     {"capacity_bytes", tier.frames * tier.frame_bytes},
                     {"used_bytes", tier.frames_used() * tier.frame_bytes},
                     {"frame_bytes", tier.frame_bytes},
                     {"capacity_frames", tier.frames},
                     {"free_frames", tier.frames_free},
                     {"clean_pages", tier.pages_clean},
                     {"pinned_pages", tier.pages_pinned},
                     {"blocks", tier.blocks},
                     {"detail", tier.detail}});
  }
  return tiers;
}

Json NamespaceList(const StatusReport& status) {
  Json namespaces = Json::array();
  for (const NamespaceReport& entry : status.namespaces) {
    Json row = {{"namespace", entry.name}, {"share", entry.share}};
    for (size_t i = 0; i < status.tiers.size() && i < entry.tiers.size(); ++i) {
      row[status.tiers[i].name] = {{"frames", entry.tiers[i].frames},
                                   {"guaranteed_frames", entry.tiers[i].guaranteed_frames},
                                   {"max_frames", entry.tiers[i].max_frames}};
    }
    namespaces.push_back(row);
  }
  return namespaces;
}

Json Fields(const SequenceReport& sequence) {
  return {{"sequence", sequence.sequence.value},
          {"name", FormatSequence(sequence.sequence)},
          {"client", sequence.client},
          {"namespace", sequence.name_space},
          {"length_tokens", sequence.length_tokens},
          {"blocks", sequence.blocks},
          {"steps", sequence.steps},
          {"hbm_pages", sequence.pages[TierIndex(Tier::kHbm)]},
          {"host_pages", sequence.pages[TierIndex(Tier::kHost)]},
          {"nvme_pages", sequence.pages[TierIndex(Tier::kNvme)]},
          {"suspended", sequence.suspended}};
}

// Names come from clients and may be no UTF-8.
std::string Text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string StatusJson(const StatusReport& status, const std::vector<Warning>& warnings) {
  Json json = Schema("status");
  json["health"] = warnings.empty() ? "HEALTH_OK" : "HEALTH_WARN";
  json["warnings"] = Json::array();
  for (const Warning& warning : warnings) {
    json["warnings"].push_back({{"name", warning.name}, {"text", warning.text}});
  }
  json["version"] = status.version;
  json["pid"] = status.pid;
  json["uptime_us"] = status.uptime_us;
  json["pool"] = status.pool;
  json["geometry"] = status.geometry;
  json["model"] = status.model;
  json["engines"] = status.engines;
  json["sequences"] = status.sequences;
  json["steps"] = status.steps;
  json["tiers"] = TierList(status);
  json["namespaces"] = NamespaceList(status);
  json["counters"] = Json::object();
  for (const auto& [name, value] : status.counters) json["counters"][name] = value;
  return Text(json);
}

std::string NamespacesJson(const StatusReport& status) {
  Json json = Schema("namespaces");
  json["namespaces"] = NamespaceList(status);
  return Text(json);
}

std::string TiersJson(const StatusReport& status) {
  Json json = Schema("tiers");
  json["tiers"] = TierList(status);
  for (const char* name : {"moved_bytes_hbm_to_host", "moved_bytes_host_to_hbm",
                           "moved_bytes_host_to_nvme", "moved_bytes_nvme_to_host"}) {
    json[name] = status.counter(name);
  }
  return Text(json);
}

std::string SequencesJson(const std::vector<SequenceReport>& sequences) {
  Json json = Schema("sequences");
  json["sequences"] = Json::array();
  for (const SequenceReport& sequence : sequences) json["sequences"].push_back(Fields(sequence));
  return Text(json);
}

std::string SequenceJson(const SequenceReport& sequence) {
  Json json = Schema("sequence");
  json.update(Fields(sequence));
  return Text(json);
}

std::string ClientsJson(const std::vector<ClientReport>& clients) {
  Json json = Schema("clients");
  json["clients"] = Json::array();
  for (const ClientReport& client : clients) {
    json["clients"].push_back({{"client", client.client},
                               {"name", client.name},
                               {"namespace", client.name_space},
                               {"pid", client.pid},
                               {"uid", client.uid},
                               {"sequences", client.sequences},
                               {"steps", client.steps},
                               {"requests", client.requests},
                               {"attached_us", client.attached_us},
                               {"state", client.state},
                               {"step_oldest_us", client.step_oldest_us},
                               {"pinned_pages", client.pages_pinned},
                               {"limbo_frames", client.frames_limbo},
                               {"quarantined_frames", client.frames_quarantined}});
  }
  return Text(json);
}

std::string RevokeJson(uint32_t client, uint64_t frames_quarantined) {
  Json json = Schema("revoke");
  json["client"] = client;
  json["quarantined_frames"] = frames_quarantined;
  return Text(json);
}

std::string VersionJson(const std::string& own, const std::string& daemon) {
  Json json = Schema("version");
  json["kvpagerctl"] = own;
  json["kvpagerd"] = daemon.empty() ? Json(nullptr) : Json(daemon);
  return Text(json);
}

std::string DoneJson(const std::string& verb, SequenceId sequence) {
  Json json = Schema(verb.c_str());
  json["sequence"] = sequence.value;
  return Text(json);
}

}  // namespace kvpager::ctl
