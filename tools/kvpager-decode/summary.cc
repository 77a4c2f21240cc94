#include "tools/kvpager-decode/summary.h"

#include <algorithm>
#include <vector>

namespace kvpager::decode {
namespace {

// Nearest rank.
double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = share * static_cast<double>(values.size());
  const auto index = static_cast<size_t>(std::max(0.0, rank - 1e-9));
  return values[std::min(index, values.size() - 1)];
}

template <typename Of>
std::vector<double> Column(const ModeFigures& figures, Of of) {
  std::vector<double> values;
  for (const TokenFigures& token : figures.tokens) values.push_back(of(token));
  return values;
}

}  // namespace

ModeSummary Summarize(const ModeFigures& figures) {
  ModeSummary summary;
  const std::vector<double> seconds =
      Column(figures, [](const TokenFigures& token) { return token.seconds; });
  summary.p50 = Percentile(seconds, 0.5);
  summary.p99 = Percentile(seconds, 0.99);
  for (size_t i = kTokensSettling; i < seconds.size(); ++i) {
    summary.max = std::max(summary.max, seconds[i]);
  }
  summary.nvme_bytes = Percentile(
      Column(figures,
             [](const TokenFigures& token) { return static_cast<double>(token.nvme_bytes); }),
      0.5);
  summary.copied_bytes = Percentile(
      Column(figures,
             [](const TokenFigures& token) { return static_cast<double>(token.copied_bytes); }),
      0.5);
  const std::vector<double> nvme =
      Column(figures, [](const TokenFigures& token) { return token.plain_nvme_seconds; });
  const std::vector<double> copy =
      Column(figures, [](const TokenFigures& token) { return token.plain_copy_seconds; });
  const bool nvme_is_slowest = Percentile(nvme, 0.5) >= Percentile(copy, 0.5);
  const std::vector<double>& slowest = nvme_is_slowest ? nvme : copy;
  summary.plain_p50 = Percentile(slowest, 0.5);
  summary.plain_p99 = Percentile(slowest, 0.99);
  if (summary.plain_p50 > 0) summary.link = nvme_is_slowest ? "nvme>host" : "host>hbm";
  if (summary.p50 > 0) summary.link_ratio = summary.plain_p50 / summary.p50;
  return summary;
}

}  // namespace kvpager::decode
