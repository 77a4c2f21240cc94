// kvpager-sim: the real core in virtual time, with fake tiers, fake engines and every fault we can
// think of, all drawn from a seed. docs/TESTING.md says how to read it.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/sim/failure.h"
#include "tests/sim/hits.h"
#include "tests/sim/input_log.h"
#include "tests/sim/options.h"
#include "tests/sim/spikes.h"
#include "tests/sim/world.h"

namespace kvpager::sim {
namespace {

constexpr const char* kUsage =
    "usage: kvpager-sim [--seeds N] [--first N] [--seed N] [--steps N] [--verbose]\n"
    "                   [--record FILE] [--log FILE] [--spikes] [--hits]\n"
    "  --seeds N      runs the seeds [first, first + N); default 100\n"
    "  --first N      default 1\n"
    "  --seed N       runs one seed\n"
    "  --steps N      at most N turns of it, then the drain\n"
    "  --verbose      prints every input and every effect\n"
    "  --record FILE  writes the inputs, so that --log can replay them\n"
    "  --log FILE     replays recorded inputs into a fresh core and prints its effects\n"
    "  --spikes       measures waiting times in virtual time, and fails if a bound is missed\n"
    "  --hits         compares hits with an ideal LRU cache's, and fails if they are too few\n";

struct Flags {
  uint64_t seeds = 100;
  uint64_t first = 1;
  uint64_t seed = 0;
  uint64_t steps = 0;
  bool verbose = false;
  bool spikes = false;
  bool hits = false;
  std::string record;
  std::string log;
};

[[noreturn]] void Refuse(const std::string& why) {
  std::fprintf(stderr, "kvpager-sim: %s\n%s", why.c_str(), kUsage);
  std::exit(2);
}

Flags ParseFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    if (name == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    if (name == "--verbose") {
      flags.verbose = true;
      continue;
    }
    if (name == "--spikes" || name == "--hits") {
      (name == "--spikes" ? flags.spikes : flags.hits) = true;
      continue;
    }
    std::string value;
    const size_t equals = name.find('=');
    if (equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < argc) {
      value = argv[++i];
    }
    if (value.empty()) Refuse(absl::StrCat(name, " needs a value, or is unknown"));
    if (name == "--record") {
      flags.record = value;
    } else if (name == "--log") {
      flags.log = value;
    } else {
      uint64_t* number = name == "--seeds"   ? &flags.seeds
                         : name == "--first" ? &flags.first
                         : name == "--seed"  ? &flags.seed
                         : name == "--steps" ? &flags.steps
                                             : nullptr;
      if (number == nullptr) Refuse(absl::StrCat("there is no ", name));
      if (!absl::SimpleAtoi(value, number)) Refuse(absl::StrCat(name, " needs a number"));
    }
  }
  return flags;
}

void RunSeed(uint64_t seed, const Flags& flags, Tally& total) {
  SimOptions options = DrawOptions(seed);
  std::string command = absl::StrCat("kvpager-sim --seed ", seed);
  if (flags.steps != 0) {
    options.turns = flags.steps;
    absl::StrAppend(&command, " --steps ", flags.steps);
  }
  SetReproduction(command);
  World world(options);
  world.Run();
  world.Drain();
  total.Add(world.tally());
}

void Print(const Tally& tally) {
  const auto line = [](const char* what, uint64_t count) {
    std::printf("%-28s %12llu\n", what, static_cast<unsigned long long>(count));
  };
  line("steps ready", tally.steps_ready);
  line("of them without a message", tally.steps_message_free);
  line("blocks from credits", tally.credits_used);
  line("steps refused or cancelled", tally.steps_refused);
  line("steps lost", tally.steps_lost);
  line("rows checked", tally.rows_checked);
  line("tokens reused", tally.tokens_reused);
  line("durable names", tally.durable_names);
  line("sequences cut by a loss", tally.losses);
  line("requests refused", tally.refusals);
  line("engines killed", tally.engines_died);
  line("engines revoked", tally.engines_revoked);
  line("rows they wrote after that", tally.rows_haunted);
  line("restarts", tally.restarts);
  line("nvme tiers lost", tally.nvme_losses);
}

int Main(int argc, char** argv) {
  const Flags flags = ParseFlags(argc, argv);
  SetVerbose(flags.verbose);
  SetLastWords(&FlushRecording);
  if (!flags.log.empty()) {
    SetReproduction(absl::StrCat("kvpager-sim --log ", flags.log));
    const absl::Status status = ReplayLog(flags.log);
    if (!status.ok()) Refuse(std::string(status.message()));
    return 0;
  }
  if (flags.spikes) {
    SetReproduction("kvpager-sim --spikes");
    return RunSpikes() ? 0 : 1;
  }
  if (flags.hits) {
    SetReproduction("kvpager-sim --hits");
    return RunHits() ? 0 : 1;
  }
  const absl::Status recording = StartRecording(flags.record);
  if (!recording.ok()) Refuse(std::string(recording.message()));
  Tally total;
  if (flags.seed != 0) {
    RunSeed(flags.seed, flags, total);
  } else {
    for (uint64_t i = 0; i < flags.seeds; ++i) RunSeed(flags.first + i, flags, total);
  }
  FlushRecording();
  Print(total);
  return 0;
}

}  // namespace
}  // namespace kvpager::sim

int main(int argc, char** argv) { return kvpager::sim::Main(argc, argv); }
