#include "tools/kvpager-bench/nvme.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"
#include "tools/kvpager-bench/executor_traffic.h"
#include "tools/kvpager-bench/nvme_fio.h"
#include "tools/kvpager-bench/nvme_priority.h"
#include "tools/kvpager-bench/nvme_scene.h"
#include "tools/kvpager-bench/ring_traffic.h"

namespace kvpager::bench {
namespace {

constexpr uint64_t kSliceNs = 100'000'000;
constexpr uint64_t kSliceQuickNs = 5'000'000;
constexpr uint32_t kDepth = 32;
constexpr double kPromised = 0.95;
constexpr double kPromisedSmall = 0.90;  // Below kSmallBytes.
constexpr uint64_t kSmallBytes = 256 * kKiB;
constexpr double kCalmFrom = 0.98;
constexpr double kCalmTo = 1.02;

// Of all slices of one side.
struct Side {
  Samples rate;
  uint64_t bytes = 0;
  uint64_t cpu_ns = 0;
  uint64_t system_calls = 0;

  void Add(const NvmeSlice& slice) {
    rate.Add(slice.rate());
    bytes += slice.bytes;
    cpu_ns += slice.cpu_ns;
    system_calls += slice.system_calls;
  }
  double gib() const { return static_cast<double>(bytes) / double{kGiB}; }
  double cpu_ms_per_gib() const { return static_cast<double>(cpu_ns) / 1e6 / gib(); }
  double system_calls_per_gib() const { return static_cast<double>(system_calls) / gib(); }
};

std::string SizeName(uint64_t bytes) {
  return bytes < kMiB ? absl::StrCat(bytes / kKiB, " KiB") : absl::StrCat(bytes / kMiB, " MiB");
}

std::string Microseconds(const Samples& ns) {
  return absl::StrFormat("%.0f/%.0f/%.0f", ns.Quantile(0.5) / 1e3, ns.Quantile(0.99) / 1e3,
                         ns.Quantile(0.999) / 1e3);
}

Figure FigureOf(const std::string& part, const NvmeCase& one, Side (&sides)[3],
                NvmeTraffic* const (&traffic)[3]) {
  const double itself = sides[2].rate.Median() / sides[1].rate.Median();
  const bool calm = itself >= kCalmFrom && itself <= kCalmTo;
  Figure figure;
  figure.part = part;
  figure.name = absl::StrCat(SizeName(one.page_bytes), ", ", one.depth, " at once");
  figure.unit = "GB/s";
  figure.ours = sides[0].rate.Median();
  figure.limit = sides[1].rate.Median();
  figure.limit_name = absl::StrFormat(
      "the bare loop (itself %.3f%s); p50/p99/p99.9 us %s against %s; CPU ms/GiB %.0f against "
      "%.0f; "
      "system calls/GiB %.0f against %.0f",
      itself, calm ? "" : ", too restless to judge", Microseconds(traffic[0]->latency_ns()),
      Microseconds(traffic[1]->latency_ns()), sides[0].cpu_ms_per_gib(), sides[1].cpu_ms_per_gib(),
      sides[0].system_calls_per_gib(), sides[1].system_calls_per_gib());
  figure.also = {{"bare_against_itself", itself},
                 {"p99_us", traffic[0]->latency_ns().Quantile(0.99) / 1e3},
                 {"limit_p99_us", traffic[1]->latency_ns().Quantile(0.99) / 1e3},
                 {"cpu_ms_per_gib", sides[0].cpu_ms_per_gib()},
                 {"limit_cpu_ms_per_gib", sides[1].cpu_ms_per_gib()},
                 {"system_calls_per_gib", sides[0].system_calls_per_gib()},
                 {"limit_system_calls_per_gib", sides[1].system_calls_per_gib()}};
  figure.better = Better::kLarger;
  figure.samples = sides[0].rate.count();
  if (calm) {
    figure.allowed = figure.limit * (one.page_bytes < kSmallBytes ? kPromisedSmall : kPromised);
  }
  return figure;
}

absl::Status MeasureCase(const std::string& part, const NvmeCase& one, const Options& options,
                         std::vector<Figure>& figures) {
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<NvmeScene> scene,
                       NvmeScene::Make(options, one.page_bytes, one.depth,
                                       (ExecutorTraffic::kBacklog + 2) * one.depth));
  const uint32_t half = scene->half();
  ExecutorTraffic ours(scene->executor(), half, one);
  KVP_RETURN_IF_ERROR(ours.Prime(2 * half));
  std::unique_ptr<RingTraffic> bare[2];
  for (uint32_t i = 0; i < 2; ++i) {
    KVP_ASSIGN_OR_RETURN(
        bare[i], RingTraffic::Create(scene->arena(), scene->file(),
                                     (ExecutorTraffic::kBacklog + i) * one.depth, half, half, one));
  }
  NvmeTraffic* const traffic[3] = {&ours, bare[0].get(), bare[1].get()};
  const uint64_t slice_ns = options.quick ? kSliceQuickNs : kSliceNs;
  Side sides[3];
  for (uint64_t pair = 0; pair < options.pairs; pair += 2) {
    for (const int i : {0, 1, 2, 2, 1, 0}) {
      KVP_ASSIGN_OR_RETURN(const NvmeSlice slice, traffic[i]->Run(slice_ns));
      sides[i].Add(slice);
    }
  }
  figures.push_back(FigureOf(part, one, sides, traffic));
  return absl::OkStatus();
}

// One run of fio beside our median of the case, which came before.
absl::Status Orient(const std::string& part, const NvmeCase& one, double ours,
                    const Options& options, std::vector<Figure>& figures) {
  const absl::StatusOr<double> fio = RunFio(options, one);
  if (absl::IsNotFound(fio.status())) {
    std::printf("fio is not installed, so there is no run of it for orientation\n");
    return absl::OkStatus();
  }
  if (!fio.ok()) return fio.status();
  Figure figure;
  figure.part = part;
  figure.name =
      absl::StrCat(SizeName(one.page_bytes), ", ", one.depth, " at once, for orientation");
  figure.unit = "GB/s";
  figure.ours = ours;
  figure.limit = *fio;
  figure.limit_name = "one run of fio, 3 s after ours";
  figure.better = Better::kLarger;
  figure.samples = 1;
  figures.push_back(figure);
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureNvme(const Options& options, std::vector<Figure>& figures) {
  const std::pair<const char*, uint32_t> parts[] = {{"read", 100}, {"write", 0}, {"mixed", 70}};
  for (const auto& [part, read_percent] : parts) {
    if (std::string(part).find(options.only) == std::string::npos) continue;
    std::vector<NvmeCase> cases;
    for (const uint64_t page_bytes : {64 * kKiB, 256 * kKiB, kMiB, 4 * kMiB}) {
      cases.push_back({read_percent, page_bytes, kDepth});
    }
    for (const uint32_t depth : {1, 4, 64}) cases.push_back({read_percent, 256 * kKiB, depth});
    if (options.quick) cases.resize(1);
    for (const NvmeCase& one : cases) {
      KVP_RETURN_IF_ERROR(MeasureCase(part, one, options, figures));
      const bool usual = one.page_bytes == 256 * kKiB && one.depth == kDepth;
      if (!usual) continue;
      const double ours = figures.back().ours;
      KVP_RETURN_IF_ERROR(Orient(part, one, ours, options, figures));
    }
  }
  if (std::string("promotion").find(options.only) == std::string::npos) return absl::OkStatus();
  return MeasurePromotions(options, figures);
}

}  // namespace kvpager::bench
