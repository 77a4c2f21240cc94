// kvpager-epoch-check: visits every state of the message-free step's protocol, and of what could be
// had instead. epoch_model.h is the model, epoch_checker.h says what is looked for. Ends with 0 if
// the protocol holds and every variant that is known to be wrong is found to be.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/sim/epoch_checker.h"
#include "tests/sim/epoch_model.h"

namespace kvpager::epoch {
namespace {

constexpr const char* kUsage =
    "usage: kvpager-epoch-check [--list] [--only NAME] [--slow]\n"
    "  --list       prints the variants, and stops\n"
    "  --only NAME  checks one variant\n"
    "  --slow       also checks the variants with many states\n";

// Bounded: there are more states than kStatesMax. Of the others all must be visited.
enum class Cost : uint8_t { kQuick, kSlow, kSlowAndBounded };

struct Case {
  std::string_view name;
  std::string_view what;
  Verdict expected = Verdict::kHolds;
  Variant variant;
  Cost cost = Cost::kQuick;
};

// The protocol, by what surrounds it.
const std::vector<Case>& Protocols() {
  constexpr RemovalOrder kCounted = RemovalOrder::kWithdrawCountSample;
  static const std::vector<Case> cases = {
      {.name = "protocol",
       .what = "two steps in flight; a fault ends its epoch and pins by name; rescue from limbo"},
      {.name = "protocol-two-steps-each",
       .what = "both engines run two steps, of one page",
       .variant = {.steps = {2, 2}, .step_pages_max = 1}},
      {.name = "protocol-two-large-steps-each",
       .what = "both engines run two steps, of up to two pages",
       .variant = {.steps = {2, 2}},
       .cost = Cost::kSlow},
      {.name = "protocol-without-rescue",
       .what = "a page in limbo that a fault wants is filled again, into another frame",
       .variant = {.limbo_fault = LimboFault::kFillAgain}},
      {.name = "protocol-crowded",
       .what = "one page more than frames",
       .variant = {.pages = 3, .steps = {1, 1}}},
      {.name = "protocol-crowded-more-steps",
       .what = "one page more than frames",
       .variant = {.pages = 3},
       .cost = Cost::kSlow},
      {.name = "protocol-crowded-eviction-on-demand",
       .what = "one page more than frames; pages leave only to make room for a fault",
       .variant = {.pages = 3, .steps = {2, 2}, .eviction = Eviction::kOnDemand}},
      {.name = "protocol-two-lanes",
       .what = "two streams, whose steps end in any order, have a lane each",
       .variant = {.lanes = 2}},
      {.name = "protocol-engine-killed",
       .what = "engine 0 is killed anywhere; its frames wait until process and context are gone",
       .variant = {.death = EngineDeath::kFramesWaitForContext}},
      {.name = "reused-views",
       .what = "a view is reused; the word is withdrawn, then the count raised, then lanes sampled",
       .variant = {.withdrawals_max = 2, .removal_order = kCounted}},
      {.name = "reused-views-more-withdrawals",
       .what = "as reused-views",
       .variant = {.withdrawals_max = 3, .removal_order = kCounted},
       .cost = Cost::kSlow},
      {.name = "reused-views-two-lanes",
       .what = "as reused-views; engines have two lanes and use the same view in both",
       .variant = {.lanes = 2, .withdrawals_max = 2, .removal_order = kCounted},
       .cost = Cost::kSlow},
      {.name = "reused-views-engine-killed",
       .what = "as reused-views; engine 0 is killed anywhere",
       .variant = {.withdrawals_max = 2,
                   .removal_order = kCounted,
                   .death = EngineDeath::kFramesWaitForContext},
       .cost = Cost::kSlow},
      {.name = "reused-views-two-large-steps-each",
       .what = "as reused-views; both engines run two steps, of up to two pages",
       .variant = {.steps = {2, 2}, .withdrawals_max = 2, .removal_order = kCounted},
       .cost = Cost::kSlowAndBounded},
  };
  return cases;
}

// A fault waits inside the epoch it began. It is simpler, and it works until the pool is full.
const std::vector<Case>& FaultsInside() {
  constexpr FaultExit kInside = FaultExit::kStayInside;
  constexpr EpochWords kSlot = EpochWords::kSingleSlot;
  static const std::vector<Case> cases = {
      {.name = "single-slot",
       .what = "one slot for each engine, one step at a time; a fault waits inside its epoch",
       .variant = {.steps = {2, 2},
                   .steps_in_flight_max = 1,
                   .epoch_words = kSlot,
                   .fault_exit = kInside}},
      {.name = "single-slot-without-rescue",
       .what =
           "as single-slot; a frame in limbo cannot be had back, and waits for who waits for it",
       .expected = Verdict::kDeadlock,
       .variant = {.steps = {2, 2},
                   .steps_in_flight_max = 1,
                   .epoch_words = kSlot,
                   .fault_exit = kInside,
                   .limbo_fault = LimboFault::kFillAgain}},
      {.name = "single-slot-crowded",
       .what = "as single-slot; one page more than frames",
       .expected = Verdict::kDeadlock,
       .variant = {.pages = 3,
                   .steps = {1, 2},
                   .steps_in_flight_max = 1,
                   .epoch_words = kSlot,
                   .fault_exit = kInside}},
      {.name = "single-slot-overlapping-steps",
       .what = "as single-slot; the next step begins before the last has ended",
       .expected = Verdict::kFrameReused,
       .variant = {.steps = {2, 2}, .epoch_words = kSlot, .fault_exit = kInside}},
      {.name = "fault-inside-epoch",
       .what = "begun and done, two steps in flight; a fault waits inside its epoch",
       .variant = {.steps = {2, 2}, .fault_exit = kInside}},
      {.name = "fault-inside-epoch-crowded",
       .what = "as fault-inside-epoch; one page more than frames",
       .expected = Verdict::kDeadlock,
       .variant =
           {.pages = 3, .steps = {2, 2}, .fault_exit = kInside, .eviction = Eviction::kOnDemand}},
  };
  return cases;
}

// The protocol with one thing wrong. If one of these holds, the checker does not see what it
// should.
const std::vector<Case>& Canaries() {
  constexpr Verdict kReused = Verdict::kFrameReused;
  static const std::vector<Case> cases = {
      {.name = "streams-share-a-lane",
       .what = "two streams raise one done word, each to its own ticket if that is higher",
       .expected = kReused,
       .variant = {.steps = {2, 2}, .lane_order = LaneOrder::kAnyOrder}},
      {.name = "fault-ends-epoch-from-host",
       .what = "a fault stores the end of its epoch at once, while older steps of the lane run",
       .expected = kReused,
       .variant = {.steps = {2, 2}, .fault_exit = FaultExit::kHostStore}},
      {.name = "fault-without-pin",
       .what = "what a fault has fetched is not pinned after its completion",
       .expected = Verdict::kPageGone,
       .variant = {.steps = {2, 2}, .fault_pin = FaultPin::kUntilCompletion}},
      {.name = "sampled-before-withdrawal",
       .what = "lanes are sampled, then the word is withdrawn",
       .expected = kReused,
       .variant = {.steps = {2, 2}, .removal_order = RemovalOrder::kSampleWithdraw}},
      {.name = "begin-in-store-buffer",
       .what = "begun is stored without seq_cst: words are loaded before others see it",
       .expected = kReused,
       .variant = {.steps = {2, 2}, .begin_store = BeginStore::kStoreBuffer}},
      {.name = "counted-before-withdrawal",
       .what = "a view is reused; the count is raised, then the word withdrawn, then lanes sampled",
       .expected = kReused,
       .variant = {.withdrawals_max = 2, .removal_order = RemovalOrder::kCountWithdrawSample}},
      {.name = "counted-after-sampling",
       .what = "a view is reused; the word is withdrawn, then lanes sampled, then the count raised",
       .expected = kReused,
       .variant = {.steps = {2, 2},
                   .withdrawals_max = 2,
                   .removal_order = RemovalOrder::kWithdrawSampleCount}},
      {.name = "frames-reused-at-lease-end",
       .what = "engine 0 is killed; its frames are reused although its kernels still run",
       .expected = kReused,
       .variant = {.steps = {2, 2}, .death = EngineDeath::kFramesReusedAtLeaseEnd}},
  };
  return cases;
}

std::string_view Describe(Verdict verdict) {
  switch (verdict) {
    case Verdict::kHolds:
      return "G1 and G3 hold, every state can finish";
    case Verdict::kFrameReused:
      return "G1 is broken: a frame is reused under a running kernel";
    case Verdict::kPageGone:
      return "G3 is broken: a page is gone between a fault's completion and the step";
    case Verdict::kDeadlock:
      return "deadlock";
  }
  std::abort();
}

std::string CountOf(uint32_t count, std::string_view thing) {
  return absl::StrCat(count, " ", std::string(thing), count == 1 ? "" : "s");
}

std::string DescribeBounds(const Variant& variant) {
  std::string text =
      absl::StrCat(CountOf(variant.pages, "page"), ", ", CountOf(variant.frames, "frame"), ", ",
                   CountOf(variant.lanes, "lane"), "; steps: ", variant.steps[0], " and ",
                   variant.steps[1], ", of at most ", CountOf(variant.step_pages_max, "page"), ", ",
                   variant.steps_in_flight_max, " in flight");
  if (variant.withdrawals_max != 0) {
    absl::StrAppend(&text, "; at most ", CountOf(variant.withdrawals_max, "withdrawal"));
  }
  return text;
}

void PrintTrace(const Report& report) {
  for (size_t i = 0; i < report.trace.size(); ++i) {
    std::printf("  %4zu  %s\n", i + 1, report.trace[i].c_str());
  }
  if (report.verdict == Verdict::kDeadlock) {
    std::printf("        from here, and from %zu states in all, no end can be reached\n",
                report.states_dead);
  }
}

// True if the variant does what is expected of it.
bool Check(const Case& entry) {
  std::printf("\n%s: %s\n  %s\n", std::string(entry.name).c_str(), std::string(entry.what).c_str(),
              DescribeBounds(entry.variant).c_str());
  std::fflush(stdout);
  const auto start = std::chrono::steady_clock::now();
  const Report report = Explore(entry.variant);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  const bool covered = report.complete || entry.cost == Cost::kSlowAndBounded;
  const bool as_expected = report.verdict == entry.expected && covered;
  std::string verdict(Describe(report.verdict));
  if (!report.complete) {
    verdict =
        absl::StrCat("G1 and G3 hold for ", report.moves_covered, " moves (bounded, not complete)");
  }
  std::printf("  %zu states, %.1f s: %s%s\n", report.states_count, spent.count(), verdict.c_str(),
              entry.expected != Verdict::kHolds && as_expected ? " (as expected)" : "");
  PrintTrace(report);
  if (!as_expected) {
    std::printf("  NOT AS EXPECTED, which is: %s%s\n",
                std::string(Describe(entry.expected)).c_str(), covered ? "" : ", in all states");
  }
  std::fflush(stdout);
  return as_expected;
}

struct Flags {
  bool list = false;
  bool slow = false;
  std::string only;
};

[[noreturn]] void Refuse(const std::string& why) {
  std::fprintf(stderr, "kvpager-epoch-check: %s\n%s", why.c_str(), kUsage);
  std::exit(2);
}

Flags ParseFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (name == "--list") {
      flags.list = true;
    } else if (name == "--slow") {
      flags.slow = true;
    } else if (name == "--only") {
      if (i + 1 == argc) Refuse("--only needs the name of a variant");
      flags.only = argv[++i];
    } else {
      Refuse(absl::StrCat("there is no ", argv[i]));
    }
  }
  return flags;
}

std::vector<Case> Choose(const Flags& flags) {
  std::vector<Case> chosen;
  for (const auto* group : {&Protocols(), &FaultsInside(), &Canaries()}) {
    for (const Case& entry : *group) {
      const bool wanted = flags.only.empty()
                              ? flags.slow || flags.list || entry.cost == Cost::kQuick
                              : entry.name == flags.only;
      if (wanted) chosen.push_back(entry);
    }
  }
  if (chosen.empty()) Refuse(absl::StrCat("there is no variant ", flags.only, "; see --list"));
  return chosen;
}

int Main(int argc, char** argv) {
  const Flags flags = ParseFlags(argc, argv);
  const std::vector<Case> cases = Choose(flags);
  if (flags.list) {
    for (const Case& entry : cases) {
      std::printf("%-36s %s%s%s\n", std::string(entry.name).c_str(),
                  std::string(entry.what).c_str(),
                  entry.expected == Verdict::kHolds ? "" : " (must fail)",
                  entry.cost == Cost::kQuick ? "" : " (slow)");
    }
    return 0;
  }
  size_t unexpected_count = 0;
  for (const Case& entry : cases) unexpected_count += Check(entry) ? 0 : 1;
  std::printf("\n%s, %zu not as expected\n",
              CountOf(static_cast<uint32_t>(cases.size()), "variant").c_str(), unexpected_count);
  return unexpected_count == 0 ? 0 : 1;
}

}  // namespace
}  // namespace kvpager::epoch

int main(int argc, char** argv) { return kvpager::epoch::Main(argc, argv); }
