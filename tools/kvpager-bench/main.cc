// kvpager-bench: our figure, the limit measured in the same run, and the ratio.

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "tools/kvpager-bench/bare_echo.h"
#include "tools/kvpager-bench/control.h"
#include "tools/kvpager-bench/decode.h"
#include "tools/kvpager-bench/figure.h"
#include "tools/kvpager-bench/flags.h"
#include "tools/kvpager-bench/nvme.h"
#include "tools/kvpager-bench/recovery.h"

namespace kvpager::bench {
namespace {

absl::Status Measure(const Options& options, std::vector<Figure>& figures) {
  if (options.decode) return MeasureDecode(options, figures);
  if (options.recovery) return MeasureRecovery(options, figures);
  if (options.nvme) return MeasureNvme(options, figures);
  return MeasureControl(options, figures);
}

int Run(const Options& options) {
  std::vector<Figure> figures;
  absl::Status status = Measure(options, figures);
  std::stable_sort(figures.begin(), figures.end(),
                   [](const Figure& a, const Figure& b) { return a.part > b.part; });
  PrintTable(figures);
  if (status.ok() && !options.json.empty()) status = WriteJson(figures, options.json);
  if (status.ok()) return kExitPassed;
  std::fprintf(stderr, "kvpager-bench: %s\n", std::string(status.message()).c_str());
  return kExitFailed;
}

}  // namespace
}  // namespace kvpager::bench

int main(int argc, char** argv) {
  int exit_code = 0;
  const std::optional<kvpager::bench::Options> options =
      kvpager::bench::ParseFlags(argc, argv, exit_code);
  if (!options.has_value()) return exit_code;
  if (!options->echo.empty()) return kvpager::bench::RunEcho(options->echo);
  return kvpager::bench::Run(*options);
}
