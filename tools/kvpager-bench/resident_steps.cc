// Steps whose pages are all in HBM: begin, wait, view, end. In three states:
//
//   new     of sequences that have run no step yet: every word is read
//   cold    the same, with nothing in the caches
//   again   as the step before: a view that has not changed
//
// The limit is a loop that loads as many words, laid out alike, and stores a frame number for each.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpager-bench/control.h"
#include "tools/kvpager-bench/engine.h"
#include "tools/kvpager-bench/sample.h"
#include "tools/kvpager-bench/sequence_set.h"
#include "tools/support/clock.h"
#include "tools/support/daemon_status.h"

namespace kvpager::bench {
namespace {

// What is promised of a step, warm or with its page ids in runs.
constexpr double kStepNs = 1000;
constexpr double kPageNs = 10;
constexpr double kPageAgainNs = 1;

constexpr uint64_t kSliceNs = 2'000'000;
constexpr uint32_t kScatter = 16;  // As SequenceSet's least distance between neighbours.

// The words that a reader of `pages` pages has to load, and where it puts what it finds.
class BareTable {
 public:
  BareTable(uint64_t pages, PageIds ids)
      : words_(pages * (ids == PageIds::kRuns ? 1 : kScatter)), ids_(pages), frames_(pages) {
    std::mt19937 random(1);
    for (uint64_t i = 0; i < pages; ++i) {
      ids_[i] =
          static_cast<uint32_t>(ids == PageIds::kRuns ? i : i * kScatter + random() % kScatter);
    }
  }

  void Read() {
    for (size_t i = 0; i < ids_.size(); ++i) {
      frames_[i] = static_cast<int32_t>(words_[ids_[i]].load(std::memory_order_seq_cst));
    }
  }

 private:
  std::vector<std::atomic<uint64_t>> words_;
  std::vector<uint32_t> ids_;
  std::vector<int32_t> frames_;
};

class ResidentSteps {
 public:
  ResidentSteps(const Bench& bench, const Engine& engine, const SequenceSetOptions& options)
      : bench_(bench), engine_(engine), options_(options) {}

  absl::Status Measure() {
    KVP_ASSIGN_OR_RETURN(const std::unique_ptr<SequenceSet> set,
                         SequenceSet::Make(engine_, options_));
    const std::vector<kvp_step_entry> entries = Entries(set->sequences());
    BareTable bare(set->pages(), options_.ids);
    KVP_RETURN_IF_ERROR(MeasureNew(*set, bare));
    KVP_RETURN_IF_ERROR(MeasureAgain(entries, bare));
    return absl::OkStatus();
  }

 private:
  static std::vector<kvp_step_entry> Entries(const std::vector<kvp_seq>& sequences) {
    std::vector<kvp_step_entry> entries;
    for (const kvp_seq sequence : sequences) entries.push_back(EntryOf(sequence, 0));
    return entries;
  }

  // As an engine runs it. The first error is kept: a timed loop is no place to return from.
  void RunOnce(const std::vector<kvp_step_entry>& entries) {
    kvp_step* step = nullptr;
    Note(kvp_step_begin(engine_.client(), nullptr, entries.data(), entries.size(), &step));
    if (step == nullptr) return;
    Note(kvp_step_wait(step, kWaitUs));
    kvp_view view = {};
    view.struct_size = sizeof view;
    Note(kvp_step_view(step, 0, KVP_TIER_HBM, &view));
    if (view.batch_size > 0) pages_seen_ += static_cast<uint32_t>(view.indptr[view.batch_size]);
    Note(kvp_step_end(step, KVP_STEP_KEEP));
  }

  void Note(kvp_status code) {
    if (code != KVP_OK && failed_.ok()) failed_ = engine_.StatusOf(code);
  }

  absl::Status MeasureNew(const SequenceSet& set, BareTable& bare) {
    Samples warm;
    Samples cold;
    Samples bare_warm;
    Samples bare_cold;
    const uint32_t samples = bench_.options.quick ? 3 : 31;
    for (uint32_t i = 0; i < 2 * samples; ++i) {
      std::vector<kvp_seq> forks;
      for (const kvp_seq parent : set.sequences()) {
        kvp_seq child = 0;
        KVP_RETURN_IF_ERROR(engine_.StatusOf(kvp_seq_fork(engine_.client(), parent, &child)));
        forks.push_back(child);
      }
      RunOnce(Entries(set.sequences()));
      const bool is_cold = i % 2 == 1;
      const std::vector<kvp_step_entry> entries = Entries(forks);
      if (is_cold) ColdCaches();
      uint64_t begin_ns = tools::NowNs();
      RunOnce(entries);
      (is_cold ? cold : warm).Add(static_cast<double>(tools::NowNs() - begin_ns));
      bare.Read();
      if (is_cold) ColdCaches();
      begin_ns = tools::NowNs();
      bare.Read();
      (is_cold ? bare_cold : bare_warm).Add(static_cast<double>(tools::NowNs() - begin_ns));
      for (const kvp_seq fork : forks) Note(kvp_seq_close(engine_.client(), fork));
      KVP_RETURN_IF_ERROR(failed_);
    }
    const double pages = static_cast<double>(set.pages());
    Report("new", warm, bare_warm, kStepNs + kPageNs * pages);
    Report("cold", cold, bare_cold, options_.ids == PageIds::kRuns ? kStepNs + kPageNs * pages : 0);
    return absl::OkStatus();
  }

  absl::Status MeasureAgain(const std::vector<kvp_step_entry>& entries, BareTable& bare) {
    Samples ours;
    Samples limit;
    uint64_t runs = 1;
    uint64_t bare_runs = 1;
    RunOnce(entries);
    KVP_ASSIGN_OR_RETURN(const tools::DaemonStatus before,
                         tools::AskDaemon(bench_.socket, "kvpager-bench"));
    pages_seen_ = 0;
    uint64_t steps = 0;
    const uint32_t slices = bench_.options.quick ? 3 : 41;
    for (uint32_t i = 0; i < slices; ++i) {
      TimeSlice(kSliceNs, runs, ours, [&] {
        RunOnce(entries);
        ++steps;
      });
      TimeSlice(kSliceNs, bare_runs, limit, [&] { bare.Read(); });
    }
    KVP_RETURN_IF_ERROR(failed_);
    KVP_ASSIGN_OR_RETURN(const tools::DaemonStatus after,
                         tools::AskDaemon(bench_.socket, "kvpager-bench"));
    const double pages = static_cast<double>(entries.size()) * options_.pages;
    if (pages_seen_ != steps * entries.size() * options_.pages) {
      return absl::InternalError("a view did not list every page");
    }
    Report("again", ours, limit, kStepNs + kPageAgainNs * pages);
    bench_.figures.push_back(Figure{.part = "resident",
                                    .name = Name("again"),
                                    .unit = "msgs",
                                    .ours = Messages(after) - Messages(before),
                                    .samples = steps});
    return absl::OkStatus();
  }

  // Of engines, as the daemon counts them: those of administrators are status requests.
  static double Messages(const tools::DaemonStatus& status) {
    double messages = 0;
    for (const auto& [name, value] : status.counters) {
      const bool of_engines = name.rfind("requests_", 0) == 0 && name != "requests_status";
      if (of_engines) messages += static_cast<double>(value);
    }
    return messages;
  }

  std::string Name(const char* state) const {
    return absl::StrCat(options_.sequences, " x ", options_.pages, " pages, ids ",
                        options_.ids == PageIds::kRuns ? "in runs" : "scattered", ", ", state);
  }

  void Report(const char* state, const Samples& ours, const Samples& limit, double allowed) {
    bench_.figures.push_back(Figure{.part = "resident",
                                    .name = Name(state),
                                    .unit = "ns",
                                    .ours = ours.Median(),
                                    .limit = limit.Median(),
                                    .limit_name = "loads of as many words",
                                    .allowed = allowed,
                                    .samples = ours.count()});
  }

  static constexpr uint64_t kWaitUs = 10'000'000;

  const Bench& bench_;
  const Engine& engine_;
  const SequenceSetOptions options_;
  uint64_t pages_seen_ = 0;
  absl::Status failed_;
};

}  // namespace

absl::Status MeasureResidentSteps(const Bench& bench) {
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                       Engine::Attach({.socket = bench.socket}));
  for (const uint32_t sequences : {1u, 64u, 1024u}) {
    for (const uint32_t pages : {1u, 16u, 256u, 4096u}) {
      if (bench.options.quick && uint64_t{sequences} * pages > 64 * 256) continue;
      if (uint64_t{sequences} * pages > kDistinctPagesMax) continue;
      for (const PageIds ids : {PageIds::kRuns, PageIds::kScattered}) {
        ResidentSteps steps(bench, *engine, {.sequences = sequences, .pages = pages, .ids = ids});
        KVP_RETURN_IF_ERROR(steps.Measure());
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace kvpager::bench
