// kvpager-replay: a request trace, served through a running kvpagerd, every page verified.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/kvpager-replay/flags.h"
#include "tools/kvpager-replay/ideal_lru.h"
#include "tools/kvpager-replay/injector.h"
#include "tools/kvpager-replay/progress.h"
#include "tools/kvpager-replay/random.h"
#include "tools/kvpager-replay/report.h"
#include "tools/kvpager-replay/runner.h"
#include "tools/kvpager-replay/trace_generator.h"
#include "tools/kvpager-replay/trace_reader.h"
#include "tools/support/clock.h"
#include "tools/support/daemon_status.h"

namespace kvpager::replay {
namespace {

constexpr uint64_t kGeneratedRequests = 4000;
volatile std::sig_atomic_t g_interrupted = 0;

void Interrupt(int) { g_interrupted = 1; }

int Complain(int exit_code, const absl::Status& status) {
  std::fprintf(stderr, "kvpager-replay: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return kExitLostDaemon;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitFailed;
  }
}

absl::StatusOr<Trace> GetTrace(const Options& options) {
  if (options.trace.empty()) {
    TraceGeneratorOptions generator;
    generator.requests = options.requests_max == 0 ? kGeneratedRequests : options.requests_max;
    generator.seed = options.seed;
    return GenerateTrace(generator);
  }
  TraceReaderOptions reader;
  reader.path = options.trace;
  reader.bad_lines = options.skip_bad_lines ? BadLines::kSkip : BadLines::kRefuse;
  if (options.requests_max != 0) reader.requests_max = options.requests_max;
  return ReadTrace(reader);
}

// A trace's ids name a block and all before it; so an id and a namespace are a block.
double IdealHitRatio(const Options& options, const Trace& trace, const Metrics& metrics,
                     uint64_t places) {
  IdealLru ideal(places);
  std::vector<uint64_t> blocks;
  for (const auto& [engine, index] : metrics.opens) {
    const Request& request = trace.requests[index];
    const uint64_t name_space = options.shared_namespace ? 0 : engine;
    blocks.clear();
    for (uint64_t i = 0; i < request.full_blocks(); ++i) {
      blocks.push_back(MixTogether(name_space, request.hash_ids[i]));
    }
    ideal.Serve(blocks);
  }
  return ideal.hit_ratio();
}

std::unique_ptr<Injector> MakeInjector(const Options& options,
                                       const std::optional<tools::DaemonStatus>& daemon) {
  if (options.inject_corrupt == 0) return nullptr;
  InjectorOptions injector;
  injector.flips = options.inject_corrupt;
  injector.seed = options.seed;
  injector.nvme_file = options.inject_file;
  if (daemon.has_value()) {
    injector.daemon_pid = daemon->pid;
    // "PATH, how it is read and written"
    const auto detail = daemon->tier_details.find("nvme");
    if (injector.nvme_file.empty() && detail != daemon->tier_details.end() &&
        detail->second.compare(0, 1, "/") == 0) {
      injector.nvme_file = detail->second.substr(0, detail->second.find(", "));
    }
  }
  return std::make_unique<Injector>(injector);
}

void AddDaemonCounters(const tools::DaemonStatus& before, const tools::DaemonStatus& after,
                       Summary& summary) {
  const bool same = before.pid == after.pid;  // A new daemon counts from 0.
  const auto grown = [&](const std::string& name) {
    return after.Counter(name) - (same ? before.Counter(name) : 0);
  };
  summary.daemon_told = true;
  for (size_t link = 0; link < kLinkCount; ++link) {
    summary.moved_bytes[link] = grown(absl::StrCat("moved_bytes_", kLinkNames[link]));
    summary.copies_corrupt += grown(absl::StrCat("copies_corrupt_", kLinkNames[link]));
  }
  summary.nvme_written_bytes = grown("nvme_written_bytes");
}

std::string InjectionFailure(const Injector* injector) {
  if (injector == nullptr || injector->flipped_host() + injector->flipped_nvme() > 0) return "";
  return absl::StrCat(
      "nothing could be corrupted: ", std::string(injector->host_status().message()), "; ",
      std::string(injector->nvme_status().message()));
}

void TellInjector(const Injector& injector) {
  for (const absl::Status& status : {injector.host_status(), injector.nvme_status()}) {
    if (!status.ok()) {
      std::fprintf(stderr, "kvpager-replay: --inject: %s\n", std::string(status.message()).c_str());
    }
  }
}

// Everything after the replay that can make it a failure.
std::string FailureOf(const Options& options, const absl::Status& status, const Metrics& metrics,
                      const Summary& summary, const Injector* injector) {
  if (!status.ok()) return std::string(status.message());
  if (std::string failure = InjectionFailure(injector); !failure.empty()) return failure;
  const double gap = 100.0 * (metrics.hit_ratio() - summary.ideal_lru_hit_ratio);
  if (options.ratio_gap_max >= 0.0 &&
      (gap > options.ratio_gap_max || -gap > options.ratio_gap_max)) {
    return absl::StrFormat(
        "the hit ratio is %.2f points away from the ideal LRU's, more than --max-ratio-gap %.2f",
        gap, options.ratio_gap_max);
  }
  return "";
}

bool WriteJson(const std::string& path, const std::string& json) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) return false;
  const bool written = std::fputs(json.c_str(), file) >= 0;
  return std::fclose(file) == 0 && written;
}

int Replay(const Options& options, const Trace& trace) {
  Metrics metrics;
  Runner runner(options, trace, metrics);
  if (absl::Status status = runner.Attach(); !status.ok()) {
    const bool lost = status.code() == absl::StatusCode::kUnavailable ||
                      status.code() == absl::StatusCode::kNotFound;
    return Complain(lost ? kExitLostDaemon : kExitUsage, status);
  }
  Summary summary;
  summary.trace = trace.name;
  summary.trace_lines_skipped = trace.lines_skipped;
  summary.requests_total = runner.requests_total();
  summary.engines = options.engines;
  summary.in_flight = options.in_flight;
  summary.page_bytes = options.geometry.payload_bytes();
  summary.ideal_places =
      options.ideal_places != 0 ? options.ideal_places : runner.engine().block_places();

  std::optional<tools::DaemonStatus> before;
  if (auto asked = tools::AskDaemon(options.socket, "kvpager-replay"); asked.ok())
    before = *std::move(asked);
  const std::unique_ptr<Injector> injector = MakeInjector(options, before);

  const uint64_t started_ns = tools::NowNs();
  absl::Status status;
  {
    Progress progress(summary.requests_total, options.quiet);
    status = runner.Run([&](const Metrics& now) {
      progress.Update(now);
      if (injector != nullptr) {
        injector->Advance(static_cast<double>(now.requests) /
                          static_cast<double>(summary.requests_total));
      }
      return g_interrupted == 0;
    });
  }
  summary.wall_seconds = static_cast<double>(tools::NowNs() - started_ns) / 1e9;
  summary.ideal_lru_hit_ratio = IdealHitRatio(options, trace, metrics, summary.ideal_places);
  if (before.has_value()) {
    if (const auto after = tools::AskDaemon(options.socket, "kvpager-replay"); after.ok()) {
      AddDaemonCounters(*before, *after, summary);
    }
  }
  if (injector != nullptr) {
    TellInjector(*injector);
    summary.injected_host = injector->flipped_host();
    summary.injected_nvme = injector->flipped_nvme();
  }
  summary.failure = FailureOf(options, status, metrics, summary, injector.get());
  if (!options.quiet) std::fputs(ReportTable(metrics, summary).c_str(), stdout);
  if (!options.json.empty() && !WriteJson(options.json, ReportJson(metrics, summary))) {
    return Complain(kExitFailed, absl::UnknownError(absl::StrCat("cannot write ", options.json)));
  }
  if (Passed(metrics, summary)) return kExitPassed;
  if (options.quiet && !summary.failure.empty()) {
    std::fprintf(stderr, "kvpager-replay: %s\n", summary.failure.c_str());
  }
  return metrics.content_is_right() && !status.ok() ? ExitCodeOf(status) : kExitFailed;
}

}  // namespace
}  // namespace kvpager::replay

int main(int argc, char** argv) {
  using kvpager::replay::Complain;
  int exit_code = 0;
  const std::optional<kvpager::replay::Options> options =
      kvpager::replay::ParseFlags(argc, argv, exit_code);
  if (!options.has_value()) return exit_code;
  const auto trace = kvpager::replay::GetTrace(*options);
  if (!trace.ok()) return Complain(kvpager::replay::kExitUsage, trace.status());
  std::signal(SIGINT, kvpager::replay::Interrupt);
  std::signal(SIGTERM, kvpager::replay::Interrupt);
  return kvpager::replay::Replay(*options, *trace);
}
