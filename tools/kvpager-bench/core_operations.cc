// What the core can do by itself: commands per second, with every copy done at once.

#include <cstdint>
#include <memory>
#include <vector>

#include "memmgr/base/status_macros.h"
#include "memmgr/core/core.h"
#include "memmgr/core/limits.h"
#include "tools/kvpager-bench/control.h"
#include "tools/kvpager-bench/sample.h"

namespace kvpager::bench {
namespace {

constexpr uint64_t kSliceNs = 20'000'000;
constexpr uint32_t kPageTokens = 16;
constexpr uint32_t kSequenceBlocks = 256;
constexpr double kNsPerSecond = 1e9;
constexpr ClientId kEngine{0};

class BareCore {
 public:
  explicit BareCore(std::unique_ptr<Core> core)
      : core_(std::move(core)), effects_(core_->MakeEffects()) {
    Feed(AttachCommand{NamespaceId{0}, false});
    Feed(OpenCommand{});
    sequence_ = opened_;
    RunStep(kSequenceBlocks * kPageTokens);
  }

  // Two commands: a step on pages that are all in HBM, and its end.
  void RunStep(uint32_t append_tokens) {
    StepEntry entry;
    entry.sequence = sequence_;
    entry.append_tokens = append_tokens;
    entries_.assign(1, entry);
    const Ticket ticket{0, ++step_newest_};
    Feed(StepBeginCommand{.ticket = ticket, .entries = entries_});
    Feed(StepEndCommand{ticket});
  }

  // Two more: all its pages go down first, so that the step fetches each of them.
  void EvictAndFault() {
    Feed(EvictCommand{.sequence = sequence_, .tier = Tier::kHost});
    RunStep(0);
  }

  uint64_t commands() const { return commands_; }
  uint64_t steps_ready() const { return steps_ready_; }
  uint64_t copies() const { return copies_; }

 private:
  template <typename Body>
  void Feed(const Body& body) {
    ++commands_;
    core_->Step(Instant{++now_ns_}, {.client = kEngine, .request = commands_, .body = body},
                effects_);
    while (true) {
      for (const Reply& reply : effects_.replies) {
        if (!reply.sequence.is_none()) opened_ = reply.sequence;
        const bool ready = reply.kind == ReplyKind::kStepReady;
        steps_ready_ += ready && reply.status == absl::StatusCode::kOk ? 1 : 0;
      }
      for (const CopyOp& copy : effects_.copies) running_.push_back(copy.op);
      effects_.Clear();
      if (!running_.empty()) {
        ++copies_;
        const OpId op = running_.back();
        running_.pop_back();
        core_->Complete(Instant{++now_ns_}, {.op = op, .outcome = Outcome::kOk}, effects_);
      } else if (core_->has_work()) {
        core_->Tick(Instant{++now_ns_}, effects_);
      } else {
        return;
      }
    }
  }

  std::unique_ptr<Core> core_;
  Effects effects_;
  std::vector<OpId> running_;
  std::vector<StepEntry> entries_;
  SequenceId sequence_;
  SequenceId opened_;
  uint64_t now_ns_ = 0;
  uint64_t step_newest_ = 0;
  uint64_t commands_ = 0;
  uint64_t steps_ready_ = 0;
  uint64_t copies_ = 0;
};

Figure FigureOf(const char* name, double per_second, uint64_t samples) {
  return Figure{.part = "core",
                .name = name,
                .unit = "op/s",
                .ours = per_second,
                .better = Better::kLarger,
                .samples = samples};
}

}  // namespace

absl::Status MeasureCore(const Bench& bench) {
  PoolOptions options;
  options.page_tokens = kPageTokens;
  options.blocks_hbm = 4096;
  options.blocks_host = 4096;
  KVP_ASSIGN_OR_RETURN(const Limits limits, DeriveLimits(options));
  KVP_ASSIGN_OR_RETURN(std::unique_ptr<Core> made, Core::Create(limits));
  BareCore core(std::move(made));
  Samples resident;
  Samples faults;
  uint64_t resident_runs = 1;
  uint64_t fault_runs = 1;
  uint64_t copies = 0;
  uint64_t rounds = 0;
  const uint32_t slices = bench.options.quick ? 3 : 25;
  for (uint32_t i = 0; i < slices; ++i) {
    TimeSlice(kSliceNs, resident_runs, resident, [&] { core.RunStep(0); });
    const uint64_t copies_before = core.copies();
    rounds += fault_runs;
    TimeSlice(kSliceNs, fault_runs, faults, [&] { core.EvictAndFault(); });
    copies += core.copies() - copies_before;
  }
  if (copies < rounds * kSequenceBlocks) return absl::InternalError("a page did not move");
  bench.figures.push_back(FigureOf("begin and end of a step on 256 resident pages, without I/O",
                                   2 * kNsPerSecond / resident.Median(), resident.count()));
  bench.figures.push_back(FigureOf("pages sent down and fetched again, 256 at a time, without I/O",
                                   2 * kSequenceBlocks * kNsPerSecond / faults.Median(),
                                   faults.count()));
  return absl::OkStatus();
}

}  // namespace kvpager::bench
