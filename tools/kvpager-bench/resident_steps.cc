// Steps whose pages are all in HBM: begin, wait, view, end. In three states, each with warm caches
// and, "cold", with nothing in them:
//
//   again       the same batch as the step before, as a decode loop runs it
//   regrouped   the same sequences in another order: everything is checked, no word is read again
//   first       sequences that have run no step yet: every word is read
//
// The limit is a loop that loads as many words, laid out alike, and stores a frame number for each.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpager-bench/cache_miss.h"
#include "tools/kvpager-bench/control.h"
#include "tools/kvpager-bench/engine.h"
#include "tools/kvpager-bench/sample.h"
#include "tools/kvpager-bench/sequence_set.h"
#include "tools/support/clock.h"
#include "tools/support/daemon_status.h"

namespace kvpager::bench {
namespace {

// What is promised of a step, warm or with its page ids in runs; and of a view that has not
// changed.
constexpr double kStepNs = 1000;
constexpr double kPageNs = 10;
constexpr double kPageReusedNs = 1;

constexpr uint32_t kSamples = 31;  // Of what is measured one by one.
constexpr uint32_t kSlices = 41;
constexpr uint32_t kFew = 3;  // Of either, to see that it runs.
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
    BareTable bare(set->pages(), options_.ids);
    KVP_RETURN_IF_ERROR(MeasureAgain(Entries(set->sequences()), bare));
    if (options_.sequences > 1) KVP_RETURN_IF_ERROR(MeasureRegrouped(*set, bare));
    return MeasureFirst(*set, bare);
  }

  double again_ns() const { return again_ns_; }
  double again_cold_ns() const { return again_cold_ns_; }
  uint64_t messages() const { return messages_; }  // While steps ran again, counted by the daemon.
  uint64_t steps() const { return steps_; }

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

  uint32_t samples() const { return bench_.options.quick ? kFew : kSamples; }

  // One step, and one round of the limit, after `prepare`.
  template <typename Prepare>
  void TakeSample(const std::vector<kvp_step_entry>& entries, BareTable& bare,
                  const Prepare& prepare, Samples& ours, Samples& limit) {
    prepare();
    uint64_t begin_ns = tools::NowNs();
    RunOnce(entries);
    ours.Add(static_cast<double>(tools::NowNs() - begin_ns));
    prepare();
    begin_ns = tools::NowNs();
    bare.Read();
    limit.Add(static_cast<double>(tools::NowNs() - begin_ns));
  }

  absl::Status MeasureFirst(const SequenceSet& set, BareTable& bare) {
    Samples warm;
    Samples cold;
    Samples bare_warm;
    Samples bare_cold;
    for (uint32_t i = 0; i < samples(); ++i) {
      for (const bool is_cold : {false, true}) {
        std::vector<kvp_seq> forks;
        for (const kvp_seq parent : set.sequences()) {
          kvp_seq child = 0;
          KVP_RETURN_IF_ERROR(engine_.StatusOf(kvp_seq_fork(engine_.client(), parent, &child)));
          forks.push_back(child);
        }
        RunOnce(Entries(set.sequences()));
        bare.Read();
        if (is_cold) {
          TakeSample(Entries(forks), bare, ColdCaches, cold, bare_cold);
        } else {
          TakeSample(
              Entries(forks), bare, [] {}, warm, bare_warm);
        }
        for (const kvp_seq fork : forks) Note(kvp_seq_close(engine_.client(), fork));
        KVP_RETURN_IF_ERROR(failed_);
      }
    }
    Report("first", warm, bare_warm);
    Report("first, cold", cold, bare_cold);
    return absl::OkStatus();
  }

  absl::Status MeasureRegrouped(const SequenceSet& set, BareTable& bare) {
    Samples ours;
    Samples limit;
    std::vector<kvp_seq> sequences = set.sequences();
    for (uint32_t i = 0; i < samples(); ++i) {
      // Further than the library remembers batches.
      std::rotate(sequences.begin(), sequences.begin() + 1, sequences.end());
      TakeSample(
          Entries(sequences), bare, [] {}, ours, limit);
    }
    Report("regrouped", ours, limit);
    return failed_;
  }

  absl::Status MeasureAgain(const std::vector<kvp_step_entry>& entries, BareTable& bare) {
    Samples ours;
    Samples limit;
    Samples cold;
    Samples limit_cold;
    uint64_t runs = 1;
    uint64_t bare_runs = 1;
    RunOnce(entries);
    KVP_RETURN_IF_ERROR(WaitUntilAnswered());
    KVP_ASSIGN_OR_RETURN(const tools::DaemonStatus before,
                         tools::AskDaemon(bench_.socket, "kvpager-bench"));
    pages_seen_ = 0;
    uint64_t steps = 0;
    const auto step = [&] {
      RunOnce(entries);
      ++steps;
    };
    const uint32_t slices = bench_.options.quick ? kFew : kSlices;
    for (uint32_t i = 0; i < slices; ++i) {
      TimeSlice(kSliceNs, runs, ours, step);
      TimeSlice(kSliceNs, bare_runs, limit, [&] { bare.Read(); });
    }
    for (uint32_t i = 0; i < samples(); ++i) {
      ++steps;
      TakeSample(entries, bare, ColdCaches, cold, limit_cold);
    }
    KVP_RETURN_IF_ERROR(failed_);
    KVP_ASSIGN_OR_RETURN(const tools::DaemonStatus after,
                         tools::AskDaemon(bench_.socket, "kvpager-bench"));
    if (pages_seen_ != steps * entries.size() * options_.pages) {
      return absl::InternalError("a view did not list every page");
    }
    again_ns_ = ours.Median();
    again_cold_ns_ = cold.Median();
    Report("again", ours, limit);
    Report("again, cold", cold, limit_cold);
    messages_ = static_cast<uint64_t>(Messages(after) - Messages(before));
    steps_ = steps;
    return absl::OkStatus();
  }

  // So that what was posted before is not counted: a call that is waited for comes after it.
  absl::Status WaitUntilAnswered() const {
    kvp_seq sequence = 0;
    KVP_RETURN_IF_ERROR(
        engine_.StatusOf(kvp_seq_open(engine_.client(), nullptr, 0, &sequence, nullptr)));
    KVP_RETURN_IF_ERROR(engine_.StatusOf(kvp_seq_close(engine_.client(), sequence)));
    KVP_RETURN_IF_ERROR(
        engine_.StatusOf(kvp_seq_open(engine_.client(), nullptr, 0, &sequence, nullptr)));
    return engine_.StatusOf(kvp_seq_evict(engine_.client(), sequence, KVP_TIER_HOST));
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

  std::string Name(const std::string& state) const {
    return absl::StrCat(options_.sequences, " x ", options_.pages, " pages, ids ",
                        options_.ids == PageIds::kRuns ? "in runs" : "scattered", ", ", state);
  }

  void Report(const std::string& state, const Samples& ours, const Samples& limit) {
    const bool is_cold = state.find("cold") != std::string::npos;
    const bool promised = !is_cold || options_.ids == PageIds::kRuns;
    const double pages = static_cast<double>(options_.sequences) * options_.pages;
    bench_.figures.push_back(Figure{.part = "resident",
                                    .name = Name(state),
                                    .unit = "ns",
                                    .ours = ours.Median(),
                                    .limit = limit.Median(),
                                    .limit_name = "loads of as many words",
                                    .allowed = promised ? kStepNs + kPageNs * pages : 0,
                                    .samples = ours.count()});
  }

  static constexpr uint64_t kWaitUs = 10'000'000;

  const Bench& bench_;
  const Engine& engine_;
  const SequenceSetOptions options_;
  uint64_t pages_seen_ = 0;
  double again_ns_ = 0;
  double again_cold_ns_ = 0;
  uint64_t messages_ = 0;
  uint64_t steps_ = 0;
  absl::Status failed_;
};

// With nothing in any cache, a step takes as long as it waits for memory: how many reads, one after
// another, that is.
void ReportColdReads(const Bench& bench, double step_ns) {
  const Samples read = MeasureCacheMiss(bench.options.quick ? kFew : kSamples);
  bench.figures.push_back(Figure{.part = "cold",
                                 .name = "a read that waits for the one before, in no cache",
                                 .unit = "ns",
                                 .ours = read.Median(),
                                 .samples = read.count()});
  bench.figures.push_back(Figure{.part = "cold",
                                 .name = "a step on one page again, in such reads",
                                 .unit = "reads",
                                 .ours = step_ns / read.Median()});
}

constexpr uint32_t kPagesFew = 16;
constexpr uint32_t kPagesMany = 4096;

}  // namespace

absl::Status MeasureResidentSteps(const Bench& bench) {
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                       Engine::Attach({.socket = bench.socket}));
  const uint64_t pages_max = bench.options.quick ? 4096 : kDistinctPagesMax;
  uint64_t messages = 0;
  uint64_t steps_run = 0;
  for (const uint32_t sequences : {1u, 64u, 1024u}) {
    for (const PageIds ids : {PageIds::kRuns, PageIds::kScattered}) {
      double few_ns = 0;
      for (const uint32_t pages : {1u, kPagesFew, 256u, kPagesMany}) {
        if (uint64_t{sequences} * pages > pages_max) continue;
        ResidentSteps steps(bench, *engine, {.sequences = sequences, .pages = pages, .ids = ids});
        KVP_RETURN_IF_ERROR(steps.Measure());
        messages += steps.messages();
        steps_run += steps.steps();
        if (sequences * pages == 1 && ids == PageIds::kRuns) {
          ReportColdReads(bench, steps.again_cold_ns());
        }
        if (pages == kPagesFew) few_ns = steps.again_ns();
        if (pages <= kPagesFew) continue;
        const auto more_pages = static_cast<double>(uint64_t{sequences} * (pages - kPagesFew));
        bench.figures.push_back(
            Figure{.part = "reuse",
                   .name = absl::StrCat("a page more in a view that has not changed, ", sequences,
                                        " x ", pages, ids == PageIds::kRuns ? "" : ", scattered"),
                   .unit = "ns",
                   .ours = std::max(0.0, steps.again_ns() - few_ns) / more_pages,
                   .allowed = kPageReusedNs});
      }
    }
  }
  bench.figures.push_back(Figure{.part = "messages",
                                 .name = "sent by steps on resident pages",
                                 .unit = "msgs",
                                 .ours = static_cast<double>(messages),
                                 .samples = steps_run});
  if (messages == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("steps on resident pages sent ", messages, " messages"));
}

}  // namespace kvpager::bench
