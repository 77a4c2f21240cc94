#include "tools/kvpager-replay/progress.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_format.h"
#include "tools/kvpager-replay/report.h"
#include "tools/support/clock.h"

namespace kvpager::replay {
namespace {

constexpr uint64_t kRepaintNs = 200'000'000;
constexpr size_t kBarWidth = 24;

}  // namespace

Progress::Progress(uint64_t requests_total, bool quiet)
    : requests_total_(requests_total),
      shown_(!quiet && isatty(STDERR_FILENO) != 0),
      started_ns_(tools::NowNs()) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void Progress::Update(const Metrics& metrics) {
  if (!shown_) return;
  const uint64_t now_ns = tools::NowNs();
  if (now_ns - painted_ns_ < kRepaintNs) return;
  painted_ns_ = now_ns;
  const double share = requests_total_ == 0 ? 1.0
                                            : static_cast<double>(metrics.requests) /
                                                  static_cast<double>(requests_total_);
  const double seconds = static_cast<double>(now_ns - started_ns_) / 1e9;
  const auto filled = static_cast<size_t>(share * static_cast<double>(kBarWidth));
  const std::string bar = std::string(filled, '=') + std::string(kBarWidth - filled, ' ');
  const std::string left =
      share > 0.01 ? absl::StrFormat("%.0f s left", seconds / share - seconds) : std::string();
  const std::string line = absl::StrFormat(
      "\r\033[K[%s] %3.0f %%  %s of %s requests, %.1f %% hit, %s pages compared  %s", bar,
      100.0 * share, WithCommas(metrics.requests), WithCommas(requests_total_),
      100.0 * metrics.hit_ratio(), WithCommas(metrics.pages_verified), left);
  std::fputs(line.c_str(), stderr);
}

}  // namespace kvpager::replay
