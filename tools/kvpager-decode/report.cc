#include "tools/kvpager-decode/report.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvpager::decode {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

double Ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

std::string Bytes(double bytes) {
  return bytes >= 1024 * kMiB ? absl::StrFormat("%.2f GiB", bytes / (1024 * kMiB))
                              : absl::StrFormat("%.1f MiB", bytes / kMiB);
}

std::string Row(const ModeFigures& figures) {
  const ModeSummary summary = Summarize(figures);
  std::string row = absl::StrFormat("  %-9s %9d %9.2f %9.2f %9.2f %8.2f", figures.name,
                                    figures.context_tokens, 1e3 * summary.p50, 1e3 * summary.p99,
                                    1e3 * summary.max, Ratio(summary.p99, summary.p50));
  if (summary.link.empty()) {
    absl::StrAppend(&row, absl::StrFormat(" %8s %10s %10s  %-18s", "", "", "", ""));
  } else {
    absl::StrAppend(&row, absl::StrFormat(" %8.2f %10s %10s  %-11s %5.2f",
                                          Ratio(summary.plain_p99, summary.plain_p50),
                                          Bytes(summary.nvme_bytes), Bytes(summary.copied_bytes),
                                          summary.link, summary.link_ratio));
  }
  return absl::StrCat(row, absl::StrFormat("  %4d %s\n", figures.checked,
                                           figures.worst_error <= kTolerance ? "right" : "WRONG"));
}

nlohmann::json JsonOf(const ModeFigures& figures) {
  const ModeSummary summary = Summarize(figures);
  nlohmann::json json = {{"mode", figures.name},
                         {"context_tokens", figures.context_tokens},
                         {"p50_seconds", summary.p50},
                         {"p99_seconds", summary.p99},
                         {"max_seconds_after_settling", summary.max},
                         {"plain_p50_seconds", summary.plain_p50},
                         {"plain_p99_seconds", summary.plain_p99},
                         {"slowest_link", summary.link},
                         {"share_of_slowest_link", summary.link_ratio},
                         {"outputs_checked", figures.checked},
                         {"largest_error", figures.worst_error}};
  for (const TokenFigures& token : figures.tokens) {
    json["tokens"].push_back({{"seconds", token.seconds},
                              {"nvme_bytes", token.nvme_bytes},
                              {"copied_bytes", token.copied_bytes},
                              {"plain_nvme_seconds", token.plain_nvme_seconds},
                              {"plain_copy_seconds", token.plain_copy_seconds}});
  }
  return json;
}

}  // namespace

bool Report::right() const {
  bool right = prefill.worst_error <= kTolerance;
  for (const ModeFigures& mode : modes) right &= mode.worst_error <= kTolerance;
  return right;
}

std::string Table(const Options& options, const Report& report) {
  const auto tier = [&](uint64_t blocks) {
    return Bytes(static_cast<double>(blocks * report.block_bytes));
  };
  std::string text =
      absl::StrFormat("%s, %d tokens: %s of K and V; HBM %s, host memory %s, NVMe %s; %d threads\n",
                      options.model.name, report.prefill.context_tokens,
                      Bytes(static_cast<double>(report.kv_bytes)), tier(report.blocks.hbm),
                      tier(report.blocks.host), tier(report.blocks.nvme), options.threads);
  absl::StrAppend(&text,
                  absl::StrFormat("  prefill: %d outputs checked, %s (largest error %.1e)\n",
                                  report.prefill.checked,
                                  report.prefill.worst_error <= kTolerance ? "right" : "WRONG",
                                  report.prefill.worst_error));
  absl::StrAppend(
      &text, absl::StrFormat("\n  %-9s %9s %9s %9s %9s %8s %8s %10s %10s  %-18s  %s\n", "per token",
                             "context", "p50 ms", "p99 ms", "max ms", "p99/p50", "plain",
                             "from nvme", "to hbm", "of slowest link", "outputs"));
  for (const ModeFigures& mode : report.modes) absl::StrAppend(&text, Row(mode));
  absl::StrAppend(&text,
                  "\n  max: after the first three tokens. plain: p99/p50 of reading the same bytes "
                  "over the slowest\n  link with nothing else, after each token. of slowest link: "
                  "its plain time / ours.\n");
  return text;
}

absl::Status WriteJson(const Options& options, const Report& report) {
  nlohmann::json json = {{"model", options.model.name},
                         {"context_tokens", report.prefill.context_tokens},
                         {"kv_bytes", report.kv_bytes},
                         {"hbm_bytes", report.blocks.hbm * report.block_bytes},
                         {"host_bytes", report.blocks.host * report.block_bytes},
                         {"threads", options.threads},
                         {"tolerance", kTolerance},
                         {"prefill_outputs_checked", report.prefill.checked},
                         {"prefill_largest_error", report.prefill.worst_error}};
  for (const ModeFigures& mode : report.modes) json["modes"].push_back(JsonOf(mode));
  std::ofstream file(options.json);
  file << json.dump(2) << '\n';
  file.close();
  if (file.good()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", options.json));
}

}  // namespace kvpager::decode
