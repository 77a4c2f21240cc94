// tools/kvpager-replay/report.h
//
// What a replay came to, as a table for people and as JSON for programs.
//
// JSON: numbers only, but for `trace` and `result`. Fields are added, never renamed; those of the
// first group are what scripts rely on:
//   requests, lookup_blocks, hit_blocks {hbm, host, nvme}, prefix_hit_ratio, ideal_lru_hit_ratio,
//   pages_verified, pages_mismatched, steps, step_wait_us {p50, p99, p999, max},
//   step_wait_us_by_cause {host, nvme, room, queue: likewise}, moved_bytes {hbm_to_host,
//   host_to_hbm, host_to_nvme, nvme_to_host}, nvme_written_bytes, wall_seconds

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_REPORT_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_REPORT_H_

#include <array>
#include <cstdint>
#include <string>

#include "tools/kvpager-replay/metrics.h"

namespace kvpager::replay {

enum class Link : uint8_t { kHbmToHost, kHostToHbm, kHostToNvme, kNvmeToHost };
inline constexpr size_t kLinkCount = 4;
inline constexpr std::array<const char*, kLinkCount> kLinkNames = {"hbm_to_host", "host_to_hbm",
                                                                   "host_to_nvme", "nvme_to_host"};

struct Summary {
  std::string trace;
  uint64_t trace_lines_skipped = 0;
  uint64_t requests_total = 0;
  uint32_t engines = 1;
  uint32_t in_flight = 1;
  uint64_t page_bytes = 0;
  uint64_t ideal_places = 0;
  double ideal_lru_hit_ratio = 0;
  double wall_seconds = 0;

  // From the daemon. Without it: nothing is said of moved bytes.
  bool daemon_told = false;
  std::array<uint64_t, kLinkCount> moved_bytes{};
  uint64_t nvme_written_bytes = 0;
  uint64_t copies_corrupt = 0;

  uint64_t injected_host = 0;
  uint64_t injected_nvme = 0;

  std::string failure;  // Why it did not come to its end, or why it is not good enough.
};

// Every page was right, nothing was left undone.
bool Passed(const Metrics& metrics, const Summary& summary);

std::string ReportTable(const Metrics& metrics, const Summary& summary);
std::string ReportJson(const Metrics& metrics, const Summary& summary);

// For people: "276,491", "1.2 ms", "3.4 GiB".
std::string WithCommas(uint64_t number);
std::string DurationText(uint64_t ns);
std::string BytesText(uint64_t bytes);

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_REPORT_H_
