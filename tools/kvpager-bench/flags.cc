#include "tools/kvpager-bench/flags.h"

#include <CLI/CLI.hpp>
#include <string>

namespace kvpager::bench {
namespace {

CLI::App* AddRecovery(CLI::App& app, Options& options) {
  CLI::App* const recovery =
      app.add_subcommand("recovery", "Restarts of a large NVMe tier, after a kill and otherwise");
  recovery->add_option("--kvpagerd", options.kvpagerd,
                       "The daemon to measure; else the one beside this program");
  recovery
      ->add_option("--dir", options.nvme_folder,
                   "Folder for the tier, on the device to measure; all in it is removed again")
      ->check(CLI::ExistingDirectory);
  options.recovery_blocks = 1'000'000;
  recovery->add_option("--blocks", options.recovery_blocks, "Of the tier; each takes 8 KiB")
      ->check(CLI::Range(uint64_t{65'536}, uint64_t{8'000'000}))
      ->capture_default_str();
  recovery->add_option("--json", options.json, "Write the numbers to this file too");
  recovery->add_flag("--quick", options.quick,
                     "A small tier: shows that it runs, the figures mean little");
  return recovery;
}

}  // namespace

std::optional<Options> ParseFlags(int argc, char** argv, int& exit_code) {
  Options options;
  CLI::App app(
      "kvpager-bench: what kvpager takes, what the machine takes for the least that has to be "
      "done, "
      "and the ratio, measured in one run.",
      "kvpager-bench");
  app.require_subcommand(1);
  app.footer("Exit codes: 0 measured; 1 something failed; 2 bad options.");
  CLI::App* control = app.add_subcommand(
      "control", "Steps on resident pages, faults, requests: all but moving bytes");
  control->add_option("--kvpagerd", options.kvpagerd,
                      "The daemon to measure; else the one beside this program");
  control->add_option("--json", options.json, "Write the numbers to this file too");
  control->add_option("--only", options.only,
                      "Only parts whose name contains this: resident, fault, rate, core");
  control->add_flag("--quick", options.quick,
                    "Few samples: shows that it runs, the figures mean little");
  CLI::App* decode =
      app.add_subcommand("decode", "Attention kernels on this CPU, beside reads and multiply-adds");
  decode->add_option("--json", options.json, "Write the numbers to this file too");
  decode->add_option("--only", options.only,
                     "Only parts whose name contains this: types, context, batch, shape");
  decode->add_flag(
      "--quick", options.quick,
      "Few samples of short contexts: shows that results are right, the figures mean little");
  CLI::App* nvme =
      app.add_subcommand("nvme", "The NVMe tier's executor, beside a bare io_uring loop");
  nvme->add_option("--dir", options.nvme_folder,
                   "Folder on the device to measure; the file in it is removed again")
      ->check(CLI::ExistingDirectory);
  options.nvme_bytes = uint64_t{2} << 30;
  nvme->add_option("--size", options.nvme_bytes, "Of that file")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  options.pairs = 200;
  nvme->add_option("--pairs", options.pairs, "Slices of a tenth of a second, ours and the limit's")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  nvme->add_option("--json", options.json, "Write the numbers to this file too");
  nvme->add_option("--only", options.only,
                   "Only parts whose name contains this: read, write, mixed, promotion");
  nvme->add_flag("--encrypt", options.encrypted,
                 "Our side encrypts and decrypts; the limit stays what it is");
  nvme->add_flag("--quick", options.quick,
                 "Few short slices: shows that it runs, the figures mean little");
  CLI::App* const recovery = AddRecovery(app, options);
  CLI::App* echo =
      app.add_subcommand("echo", "The other end of a bare ping-pong (used by control)");
  echo->group("");
  echo->add_option("endpoint", options.echo)->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? kExitPassed : kExitUsage;
    return std::nullopt;
  }
  options.decode = decode->parsed();
  options.nvme = nvme->parsed();
  options.recovery = recovery->parsed();
  if (options.quick) options.pairs = 2;
  if (options.quick) options.recovery_blocks = 65'536;
  return options;
}

}  // namespace kvpager::bench
