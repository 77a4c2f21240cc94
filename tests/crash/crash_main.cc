// kvpager-crash: writes and names blocks at full rate, kills the daemon, cuts its power or damages
// its files, starts a new one and reads everything back. Blocks may be lost where nobody was
// promised that they are durable; one wrong byte fails it.
//
//   kvpager-crash [--rounds N] [--seed S] [--dir D] [--kind kill|cut|damage] [--verbose]
//
// Round i has seed S + i; kinds take turns. The daemon is the one that was built beside it. D:
// where its files lie, on the disk that is to be tried; by default below the build folder. Ends
// with 0 if all rounds were good, with 1 at the first that was not (and says how to run it again),
// with 2 for an option it does not know.

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "tests/crash/round.h"

namespace kvpager::crash {
namespace {

constexpr std::array<const char*, 3> kKindNames = {"kill", "cut", "damage"};

struct Options {
  uint64_t rounds = 10;
  uint64_t seed = 1;
  std::string dir;
  std::optional<RoundKind> kind;
  bool verbose = false;
};

[[noreturn]] void Refuse(const std::string& word) {
  std::fprintf(stderr,
               "kvpager-crash does not know '%s'; it takes --rounds N, --seed S, --dir D, "
               "--kind kill|cut|damage, --verbose\n",
               word.c_str());
  std::exit(2);
}

std::optional<RoundKind> KindOf(std::string_view name) {
  for (size_t i = 0; i < kKindNames.size(); ++i) {
    if (name == kKindNames[i]) return static_cast<RoundKind>(i);
  }
  return std::nullopt;
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--verbose") {
      options.verbose = true;
      continue;
    }
    if (i + 1 >= argc) Refuse(word);
    const std::string value = argv[++i];
    bool good = true;
    if (word == "--rounds") {
      good = absl::SimpleAtoi(value, &options.rounds);
    } else if (word == "--seed") {
      good = absl::SimpleAtoi(value, &options.seed);
    } else if (word == "--dir") {
      options.dir = value;
    } else if (word == "--kind") {
      options.kind = KindOf(value);
      good = options.kind.has_value();
    } else {
      Refuse(word);
    }
    if (!good) Refuse(word + " " + value);
  }
  return options;
}

void Print(const char* what, const RoundResult& result) {
  std::printf(
      "%s: %llu prompts written, %llu blocks read back, %llu wrong; durable prompts %llu, lost "
      "%llu (losses counted by the daemon %llu); blocks without a promise that are gone %llu\n",
      what, static_cast<unsigned long long>(result.prompts),
      static_cast<unsigned long long>(result.blocks_read),
      static_cast<unsigned long long>(result.blocks_wrong),
      static_cast<unsigned long long>(result.durable_prompts),
      static_cast<unsigned long long>(result.durable_missing),
      static_cast<unsigned long long>(result.durable_counted),
      static_cast<unsigned long long>(result.blocks_missing));
  std::fflush(stdout);
}

void Add(const RoundResult& result, RoundResult& total) {
  total.prompts += result.prompts;
  total.blocks_read += result.blocks_read;
  total.blocks_wrong += result.blocks_wrong;
  total.blocks_missing += result.blocks_missing;
  total.durable_prompts += result.durable_prompts;
  total.durable_missing += result.durable_missing;
  total.durable_counted += result.durable_counted;
}

int Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  std::array<RoundResult, kKindNames.size()> totals;
  for (uint64_t i = 0; i < options.rounds; ++i) {
    const uint64_t seed = options.seed + i;
    const RoundKind kind = options.kind.value_or(static_cast<RoundKind>(seed % kKindNames.size()));
    const auto index = static_cast<size_t>(kind);
    const RoundResult result = RunRound(kind, seed, options.dir);
    Add(result, totals[index]);
    if (options.verbose) Print((std::to_string(seed) + " " + kKindNames[index]).c_str(), result);
    if (!result.failure.empty()) {
      std::printf("%s\nreproduce: kvpager-crash --rounds 1 --seed %llu --kind %s\n",
                  result.failure.c_str(), static_cast<unsigned long long>(seed), kKindNames[index]);
      return 1;
    }
  }
  for (size_t i = 0; i < kKindNames.size(); ++i) {
    if (totals[i].prompts > 0) Print(kKindNames[i], totals[i]);
  }
  std::printf("%llu rounds from seed %llu: all good\n",
              static_cast<unsigned long long>(options.rounds),
              static_cast<unsigned long long>(options.seed));
  return 0;
}

}  // namespace
}  // namespace kvpager::crash

int main(int argc, char** argv) { return kvpager::crash::Main(argc, argv); }
