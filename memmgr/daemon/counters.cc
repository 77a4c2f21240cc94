#include "memmgr/daemon/counters.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ipc/wire.h"

namespace kvpager {
namespace {

constexpr std::array<std::string_view, kChannelCount> kChannels = {
    "hbm_to_host", "host_to_hbm", "hbm_to_hbm", "scrub", "host_to_nvme", "nvme_to_host"};
constexpr std::array<std::string_view, kTierCount> kTiers = {"hbm", "host", "nvme"};

template <size_t count>
void AppendEach(const char* prefix, const std::array<std::string_view, count>& suffixes,
                const std::array<uint64_t, count>& values, std::vector<NamedCounter>& out) {
  for (size_t i = 0; i < count; ++i) {
    out.push_back({absl::StrCat(prefix, "_", std::string(suffixes[i])), values[i]});
  }
}

// "StepBegin" -> "step_begin".
std::string SnakeCase(std::string_view name) {
  std::string snake;
  for (char c : name) {
    const auto letter = static_cast<unsigned char>(c);
    if (absl::ascii_isupper(letter) && !snake.empty()) snake.push_back('_');
    snake.push_back(absl::ascii_tolower(letter));
  }
  return snake;
}

}  // namespace

std::vector<NamedCounter> CoreCounters(const CoreMetrics& metrics) {
  std::vector<NamedCounter> out;
  out.push_back({"lookup_blocks", metrics.lookup_blocks});
  AppendEach("hit_blocks", kTiers, metrics.hit_blocks, out);
  out.push_back({"steps_begun", metrics.steps_begun});
  out.push_back({"steps_ready", metrics.steps_ready});
  out.push_back({"steps_ready_at_once", metrics.steps_ready_at_once});
  out.push_back({"steps_waited_for_room", metrics.steps_waited_for_room});
  out.push_back({"steps_lost", metrics.steps_lost});
  AppendEach("copies_started", kChannels, metrics.copies_started, out);
  AppendEach("copies_failed", kChannels, metrics.copies_failed, out);
  AppendEach("copies_corrupt", kChannels, metrics.copies_corrupt, out);
  AppendEach("evicted_clean_pages", kTiers, metrics.evicted_clean_pages, out);
  AppendEach("evicted_dropped_pages", kTiers, metrics.evicted_dropped_pages, out);
  out.push_back({"rescued_pages", metrics.rescued_pages});
  out.push_back({"credits_granted", metrics.credits_granted});
  out.push_back({"credits_used", metrics.credits_used});
  out.push_back({"credits_revoked", metrics.credits_revoked});
  out.push_back({"read_ahead_pages", metrics.read_ahead_pages});
  out.push_back({"taken_back_pages", metrics.taken_back_pages});
  out.push_back({"swaps", metrics.swaps});
  out.push_back({"blocks_lost", metrics.blocks_lost});
  out.push_back({"retired_frames", metrics.retired_frames});
  out.push_back({"catalogue_stale", metrics.catalogue_stale});
  out.push_back({"prefetched_pages", metrics.prefetched_pages});
  out.push_back({"exhausted", metrics.exhausted});
  return out;
}

std::vector<NamedCounter> PoolCounters(Pool& pool) {
  std::vector<NamedCounter> out;
  const DeviceExecutor& device = pool.device_executor();
  for (Channel channel : {Channel::kHbmToHost, Channel::kHostToHbm, Channel::kHbmToHbm}) {
    out.push_back({absl::StrCat("moved_bytes_", std::string(kChannels[ChannelIndex(channel)])),
                   device.moved_bytes(channel)});
  }
  const NvmeStats nvme =
      pool.nvme_executor() == nullptr ? NvmeStats{} : pool.nvme_executor()->stats();
  out.push_back({"moved_bytes_host_to_nvme", nvme.written_bytes});
  out.push_back({"moved_bytes_nvme_to_host", nvme.read_bytes});
  out.push_back({"nvme_written_bytes", nvme.written_bytes});
  out.push_back({"nvme_read_bytes", nvme.read_bytes});
  out.push_back(
      {"nvme_written_payload_bytes", nvme.writes * pool.identity().geometry.payload_bytes()});
  const PageFile* const file = pool.page_file();
  out.push_back({"nvme_file_bytes", file == nullptr ? 0 : file->frames() * file->frame_bytes()});
  const WriteBudget& budget = pool.core().write_budget();
  out.push_back({"nvme_budget_blocks_left", budget.blocks_left()});
  out.push_back(
      {"nvme_touches_wanted", pool.limits().admission == Admission::kNever
                                  ? WriteBudget::kNeverWorthIt
                                  : budget.TouchesWanted(TouchesToAdmit(pool.limits().admission))});
  out.push_back({"nvme_writes", nvme.writes});
  out.push_back({"nvme_reads", nvme.reads});
  out.push_back({"nvme_failed", nvme.failed});
  out.push_back({"nvme_corrupt", nvme.corrupt});
  out.push_back({"nvme_out_of_service", pool.core().nvme_lost() ? 1u : 0u});
  const CatalogueStats catalogue =
      pool.catalogue() == nullptr ? CatalogueStats{} : pool.catalogue()->stats();
  out.push_back({"catalogue_entries_written", catalogue.entries_written});
  out.push_back({"catalogue_hints_dropped", catalogue.hints_dropped});
  out.push_back({"catalogue_writes_failed", catalogue.writes_failed});
  out.push_back({"catalogue_commits_durable", catalogue.commits_durable});
  const RestoreCounts& restored = pool.restored();
  out.push_back({"restored_blocks", restored.blocks});
  out.push_back({"restored_refused", restored.refused});
  out.push_back({"restored_scanned", restored.scanned});
  out.push_back({"restored_repaired", restored.repaired});
  out.push_back({"restored_torn_runs", restored.torn_runs});
  out.push_back({"restored_lost", restored.durable_lost});
  out.push_back({"restored_headers_unread", pool.headers_unread()});
  out.push_back({"blocks_known", pool.core().blocks_known()});
  out.push_back({"limbo_frames", pool.core().limbo_frames()});
  out.push_back({"quarantined_frames", pool.core().quarantined_frames()});
  out.push_back({"operations_in_flight", pool.core().operations_in_flight()});
  return out;
}

std::vector<NamedCounter> ServerCounters(const RequestCounts& counts) {
  std::vector<NamedCounter> out;
  for (size_t type = 0; type < counts.by_type.size(); ++type) {
    const std::string_view name = MessageTypeName(static_cast<MessageType>(type));
    if (name == "unknown") continue;
    out.push_back({absl::StrCat("requests_", SnakeCase(name)), counts.by_type[type]});
  }
  out.push_back({"requests_malformed", counts.malformed});
  out.push_back({"requests_refused_session", counts.refused_session});
  out.push_back({"requests_refused_arguments", counts.refused_arguments});
  out.push_back({"requests_refused_in_flight", counts.refused_in_flight});
  out.push_back({"engines_cut_off", counts.cut_off});
  out.push_back({"engines_overdue", counts.overdue});
  out.push_back({"engines_revoked", counts.revoked});
  out.push_back({"answers_sent", counts.answers});
  out.push_back({"answers_lost", counts.answers_lost});
  out.push_back({"ring_messages", counts.ring_messages});
  out.push_back({"ring_bells", counts.ring_bells});
  return out;
}

}  // namespace kvpager
