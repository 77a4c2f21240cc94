#include "tools/kvpagerctl/reports.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/wire.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpagerctl/options.h"

namespace kvpager::ctl {
namespace {

std::string TextOf(const flatbuffers::String* text) { return std::string(StringOf(text)); }

SequenceReport ReportOf(const wire::SequenceStatus& status) {
  return {.sequence = SequenceId{status.sequence()},
          .client = status.client(),
          .name_space = TextOf(status.name_space()),
          .length_tokens = status.length_tokens(),
          .blocks = status.blocks(),
          .steps = status.steps(),
          .pages = {status.pages_hbm(), status.pages_host(), status.pages_nvme()},
          .suspended = status.suspended()};
}

NamespaceReport ReportOf(const wire::NamespaceStatus& status) {
  NamespaceReport report{.name = TextOf(status.name()), .share = status.share(), .tiers = {}};
  for (uint32_t i = 0; i < CountOf(status.tiers()) && i < report.tiers.size(); ++i) {
    const wire::NamespaceTier& tier = *status.tiers()->Get(i);
    report.tiers[i] = {tier.frames(), tier.guaranteed_frames(), tier.max_frames()};
  }
  return report;
}

struct Page {
  std::vector<SequenceReport> sequences;
  uint32_t slot_next = 0;
  bool more = false;
};

absl::StatusOr<Page> AskPage(Connection& connection, uint32_t slot_first, uint32_t count_max) {
  flatbuffers::FlatBufferBuilder builder;
  KVP_ASSIGN_OR_RETURN(const wire::SequencesReply* const reply,
                       (connection.AskFor<wire::SequencesReply>(
                           builder, wire::CreateSequencesRequest(builder, slot_first, count_max))));
  Page page;
  for (uint32_t i = 0; i < CountOf(reply->sequences()); ++i) {
    page.sequences.push_back(ReportOf(*reply->sequences()->Get(i)));
  }
  page.slot_next = reply->slot_next();
  page.more = reply->more();
  return page;
}

}  // namespace

uint64_t StatusReport::counter(const std::string& name) const {
  const auto found = counters.find(name);
  return found == counters.end() ? 0 : found->second;
}

absl::StatusOr<StatusReport> AskStatus(Connection& connection) {
  flatbuffers::FlatBufferBuilder builder;
  KVP_ASSIGN_OR_RETURN(
      const wire::StatusReply* const reply,
      (connection.AskFor<wire::StatusReply>(builder, wire::CreateStatusRequest(builder))));
  StatusReport report{.version = TextOf(reply->version()),
                      .pid = reply->pid(),
                      .uptime_us = reply->uptime_us(),
                      .pool = TextOf(reply->pool()),
                      .geometry = TextOf(reply->geometry()),
                      .model = TextOf(reply->model()),
                      .engines = reply->engines(),
                      .sequences = reply->sequences(),
                      .steps = reply->steps(),
                      .tiers = {},
                      .counters = {},
                      .namespaces = {}};
  for (uint32_t i = 0; i < CountOf(reply->tiers()); ++i) {
    const wire::TierStatus& tier = *reply->tiers()->Get(i);
    report.tiers.push_back({.name = TextOf(tier.name()),
                            .frames = tier.frames(),
                            .frames_free = tier.frames_free(),
                            .frame_bytes = tier.frame_bytes(),
                            .pages_clean = tier.pages_clean(),
                            .pages_pinned = tier.pages_pinned(),
                            .blocks = tier.blocks(),
                            .detail = TextOf(tier.detail()),
                            .in_service = tier.in_service()});
  }
  for (uint32_t i = 0; i < CountOf(reply->counters()); ++i) {
    const wire::Counter& counter = *reply->counters()->Get(i);
    report.counters[TextOf(counter.name())] = counter.value();
  }
  for (uint32_t i = 0; i < CountOf(reply->namespaces()); ++i) {
    report.namespaces.push_back(ReportOf(*reply->namespaces()->Get(i)));
  }
  return report;
}

absl::StatusOr<std::vector<SequenceReport>> AskSequences(Connection& connection) {
  std::vector<SequenceReport> all;
  uint32_t slot = 0;
  for (bool more = true; more;) {
    KVP_ASSIGN_OR_RETURN(Page page, AskPage(connection, slot, 0));
    all.insert(all.end(), page.sequences.begin(), page.sequences.end());
    more = page.more && page.slot_next > slot;
    slot = page.slot_next;
  }
  return all;
}

absl::StatusOr<SequenceReport> AskSequence(Connection& connection, SequenceId sequence) {
  KVP_ASSIGN_OR_RETURN(const Page page,
                       AskPage(connection, static_cast<uint32_t>(sequence.value), 1));
  if (!page.sequences.empty() && page.sequences.front().sequence == sequence) {
    return page.sequences.front();
  }
  return absl::NotFoundError(
      absl::StrCat("there is no sequence ", FormatSequence(sequence), "; see kvpagerctl seq ls"));
}

absl::StatusOr<std::vector<ClientReport>> AskClients(Connection& connection) {
  flatbuffers::FlatBufferBuilder builder;
  KVP_ASSIGN_OR_RETURN(
      const wire::ClientsReply* const reply,
      (connection.AskFor<wire::ClientsReply>(builder, wire::CreateClientsRequest(builder))));
  std::vector<ClientReport> clients;
  for (uint32_t i = 0; i < CountOf(reply->clients()); ++i) {
    const wire::ClientStatus& client = *reply->clients()->Get(i);
    clients.push_back({.client = client.client(),
                       .pid = client.pid(),
                       .uid = client.uid(),
                       .name = TextOf(client.name()),
                       .name_space = TextOf(client.name_space()),
                       .sequences = client.sequences(),
                       .steps = client.steps(),
                       .requests = client.requests(),
                       .attached_us = client.attached_us(),
                       .state = TextOf(client.state()),
                       .step_oldest_us = client.step_oldest_us(),
                       .pages_pinned = client.pages_pinned(),
                       .frames_limbo = client.frames_limbo(),
                       .frames_quarantined = client.frames_quarantined()});
  }
  return clients;
}

std::vector<Warning> WarningsOf(const StatusReport& status) {
  const struct {
    const char* name;
    const char* counter;
    const char* text;
  } rules[] = {
      {"BLOCKS_LOST", "blocks_lost", "blocks lost; engines recompute them. See the daemon's log"},
      {"DURABLE_LOST", "restored_lost",
       "durable blocks were not in the data file at the start. Check the disk"},
      {"NVME_CORRUPT", "nvme_corrupt", "frames with wrong bytes on NVMe. Check the disk"},
      {"NVME_FAILED", "nvme_failed", "reads or writes failed on NVMe. Check the disk"},
      {"NVME_OUT_OF_SERVICE", "nvme_out_of_service",
       "NVMe tier out of service, because its device failed again and again. Replace the disk and "
       "start kvpagerd again"},
      {"HOST_CORRUPT", "copies_corrupt_host_to_hbm",
       "host frames whose checksum was wrong. Check the memory"},
      {"CATALOGUE_FAILED", "catalogue_writes_failed",
       "catalogue entries could not be written. Check the disk"},
      {"ENGINE_CUT_OFF", "engines_cut_off", "engines cut off for malformed messages"},
  };
  std::vector<Warning> warnings;
  for (const auto& rule : rules) {
    if (const uint64_t count = status.counter(rule.counter); count > 0) {
      warnings.push_back({rule.name, absl::StrCat(count, " ", rule.text)});
    }
  }
  return warnings;
}

}  // namespace kvpager::ctl
