// kvpager-decode: a sequence larger than memory, decoded exactly, and what each token took.

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpager-decode/decode_run.h"
#include "tools/kvpager-decode/flags.h"
#include "tools/kvpager-decode/plain_links.h"
#include "tools/kvpager-decode/plot.h"
#include "tools/kvpager-decode/report.h"
#include "tools/kvpager-decode/served.h"

namespace kvpager::decode {
namespace {

constexpr uint64_t kBlocksMin = 8;  // A window of two chunks, and room for what comes back.

volatile std::sig_atomic_t g_interrupted = 0;

void Interrupt(int) { g_interrupted = 1; }

Progress MakeProgress(const Options& options) {
  const bool shown = !options.quiet && isatty(STDERR_FILENO) != 0;
  return [shown](const std::string& what, double share) {
    if (shown) std::fprintf(stderr, "\r%-24s %3.0f %%\033[K", what.c_str(), 100 * share);
    if (shown && share >= 1) std::fprintf(stderr, "\r\033[K");
    return g_interrupted == 0;
  };
}

TierBlocks TiersOf(const Options& options) {
  const uint64_t all = BlocksOf(options, options.context_tokens);
  const uint64_t block_bytes = BlockBytes(options.model);
  TierBlocks blocks;
  blocks.hbm = options.hbm_bytes == 0 ? all / 16 : options.hbm_bytes / block_bytes;
  blocks.host = options.host_bytes == 0 ? all * 7 / 16 : options.host_bytes / block_bytes;
  blocks.hbm = std::max(blocks.hbm, kBlocksMin);
  blocks.host = std::max(blocks.host, kBlocksMin);
  blocks.nvme = all + all / 16 + kBlocksMin;
  return blocks;
}

uint64_t AvailableBytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string name; file >> name;) {
    uint64_t kib = 0;
    if (name == "MemAvailable:" && file >> kib) return kib * 1024;
    file.ignore(1 << 20, '\n');
  }
  return 0;
}

// As much of the sequence as fits into half of the memory that there is.
uint64_t ResidentContext(const Options& options) {
  const uint64_t fits = AvailableBytes() / 2 / TokenBytes(options.model);
  return std::min(options.context_tokens, std::max<uint64_t>(fits, 1));
}

absl::StatusOr<ModeFigures> RunResident(const Options& options) {
  const uint64_t context_tokens = ResidentContext(options);
  const uint64_t all = BlocksOf(options, context_tokens);
  KVP_ASSIGN_OR_RETURN(
      const std::unique_ptr<Served> served,
      Served::Start(options, {.hbm = all + kBlocksMin, .host = kBlocksMin, .nvme = 0}));
  Options plain = options;
  plain.full_prefill = false;
  DecodeRun run(plain, *served, nullptr, MakeProgress(options));
  KVP_RETURN_IF_ERROR(run.Prefill(context_tokens).status());
  return run.Decode(attention::Mode::kResident);
}

absl::Status RunTiered(const Options& options, Report& report) {
  report.blocks = TiersOf(options);
  report.block_bytes = BlockBytes(options.model);
  report.kv_bytes = options.context_tokens * TokenBytes(options.model);
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<Served> served, Served::Start(options, report.blocks));
  KVP_ASSIGN_OR_RETURN(const std::string nvme_file, served->NvmeFile());
  const uint64_t frame_bytes = report.block_bytes * options.model.geometry.layers_per_page /
                                   options.model.geometry.num_layers +
                               kFrameHeaderBytes;
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<PlainLinks> plain,
                       PlainLinks::Create(nvme_file, frame_bytes));
  DecodeRun run(options, *served, plain.get(), MakeProgress(options));
  KVP_ASSIGN_OR_RETURN(report.prefill, run.Prefill(options.context_tokens));
  for (const attention::Mode mode : options.modes) {
    KVP_ASSIGN_OR_RETURN(ModeFigures figures, run.Decode(mode));
    report.modes.push_back(std::move(figures));
  }
  return absl::OkStatus();
}

absl::Status Run(const Options& options, Report& report) {
  if (options.resident) {
    KVP_ASSIGN_OR_RETURN(ModeFigures resident, RunResident(options));
    report.modes.push_back(std::move(resident));
  }
  KVP_RETURN_IF_ERROR(RunTiered(options, report));
  if (!options.quiet) std::fputs(Table(options, report).c_str(), stdout);
  if (!options.json.empty()) KVP_RETURN_IF_ERROR(WriteJson(options, report));
  if (!options.plot.empty()) KVP_RETURN_IF_ERROR(WritePlot(report, options.plot));
  if (report.right()) return absl::OkStatus();
  return absl::DataLossError("an output is not what the reference says");
}

}  // namespace
}  // namespace kvpager::decode

int main(int argc, char** argv) {
  int exit_code = 0;
  const std::optional<kvpager::decode::Options> options =
      kvpager::decode::ParseFlags(argc, argv, exit_code);
  if (!options.has_value()) return exit_code;
  std::signal(SIGINT, kvpager::decode::Interrupt);
  std::signal(SIGTERM, kvpager::decode::Interrupt);
  kvpager::decode::Report report;
  const absl::Status status = kvpager::decode::Run(*options, report);
  if (status.ok()) return kvpager::decode::kExitPassed;
  std::fprintf(stderr, "kvpager-decode: %s\n", std::string(status.message()).c_str());
  return kvpager::decode::kExitFailed;
}
