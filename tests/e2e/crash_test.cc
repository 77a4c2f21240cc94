// That a daemon which is killed, wherever it is, leaves nothing wrong behind: what was acknowledged
// as durable is found again, what had reached NVMe is hit again, and no page is ever another one.
//
// How: KVPAGER_CRASH_AT kills the daemon at each named point in turn, and SIGKILL at times drawn
// from a seed; then the same data is served by a new daemon. The engine of test_engine.h compares
// every reused page in full.

#include <signal.h>

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "memmgr/base/crash_point.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

constexpr uint64_t kSeed = 20261123;
constexpr uint32_t kPromptBlocks = 8;
constexpr uint32_t kKilled = 128 + SIGKILL;

struct Acknowledged {
  uint64_t prompt = 0;
  bool durable = false;
};

// Serves prompts `first`, `first` + 1, ... until the daemon is gone or `count` are done. Every
// second one is named durable.
std::vector<Acknowledged> ServeUntilGone(const std::string& socket_path, uint64_t first,
                                         uint32_t count) {
  std::vector<Acknowledged> served;
  TestEngine engine;
  EngineOptions options;
  options.socket_path = socket_path;
  if (engine.Open(options) != KVP_OK) return served;
  for (uint64_t prompt = first; prompt < first + count; ++prompt) {
    const bool durable = prompt % 2 == 0;
    const Served result = engine.Serve(prompt, kPromptBlocks, durable ? KVP_NAME_DURABLE : 0);
    EXPECT_EQ(result.mismatched_blocks, 0u) << "prompt " << prompt;
    if (result.status != KVP_OK) {
      EXPECT_EQ(result.status, KVP_UNAVAILABLE) << engine.error();
      EXPECT_FALSE(engine.error().empty());
      return served;
    }
    served.push_back({prompt, durable});
  }
  return served;
}

// Everything acknowledged as durable is found whole; whatever is found is right. Returns how many
// blocks were found.
uint64_t ExpectFound(const std::string& socket_path, const std::vector<Acknowledged>& served) {
  TestEngine engine;
  EngineOptions options;
  options.socket_path = socket_path;
  EXPECT_EQ(engine.Open(options), KVP_OK) << engine.error();
  uint64_t found = 0;
  for (const Acknowledged& entry : served) {
    const Served result = engine.Serve(entry.prompt, kPromptBlocks, 0);
    EXPECT_EQ(result.status, KVP_OK) << engine.error();
    EXPECT_EQ(result.mismatched_blocks, 0u) << "prompt " << entry.prompt;
    if (entry.durable) {
      EXPECT_EQ(result.reused_blocks, kPromptBlocks)
          << "prompt " << entry.prompt << " was acknowledged as durable";
    }
    found += result.reused_blocks;
    if (result.status != KVP_OK) break;
  }
  return found;
}

class CrashPoint : public ::testing::TestWithParam<std::string_view> {};

TEST_P(CrashPoint, LeavesNothingWrongBehind) {
  const TemporaryDirectory directory;
  const std::string point(GetParam());
  // The superblock is written once at creation: only the first time is ever reached.
  const bool at_start = point == "page_file_allocated" || point == "superblock_written";
  const std::vector<uint32_t> times =
      at_start ? std::vector<uint32_t>{1} : std::vector<uint32_t>{1, 4};
  std::vector<Acknowledged> served;
  uint64_t first_prompt = 0;
  for (const uint32_t count : times) {
    DaemonOptions options;
    options.environment = {{"KVPAGER_CRASH_AT", absl::StrCat(point, ":", count)}};
    Daemon daemon(directory, options);
    if (daemon.WaitUntilReady()) {
      const std::vector<Acknowledged> more = ServeUntilGone(daemon.socket_path(), first_prompt, 60);
      served.insert(served.end(), more.begin(), more.end());
    }
    EXPECT_EQ(daemon.process().Wait(60), static_cast<int>(kKilled))
        << point << ":" << count << " was never reached\n"
        << daemon.Log();
    first_prompt += 200;
  }
  Daemon daemon(directory, DaemonOptions{});
  ASSERT_TRUE(daemon.WaitUntilReady()) << daemon.Log();
  ExpectFound(daemon.socket_path(), served);
  EXPECT_EQ(daemon.Stop(), 0) << daemon.Log();
}

INSTANTIATE_TEST_SUITE_P(All, CrashPoint, ::testing::ValuesIn(kCrashPoints),
                         [](const auto& test) { return std::string(test.param); });

TEST(Crash, AtAnyTimeKeepsWhatWasDurable) {
  const TemporaryDirectory directory;
  std::mt19937_64 random(kSeed);
  std::vector<Acknowledged> served;
  const uint32_t rounds = Rounds(10);
  for (uint32_t round = 0; round < rounds; ++round) {
    Daemon daemon(directory, DaemonOptions{});
    ASSERT_TRUE(daemon.WaitUntilReady()) << daemon.Log();
    const uint64_t prompt_first = uint64_t{round} * 100;
    const auto prompts = static_cast<uint32_t>(random() % 20);
    const std::vector<Acknowledged> more =
        ServeUntilGone(daemon.socket_path(), prompt_first, prompts);
    served.insert(served.end(), more.begin(), more.end());
    // Writes of the prompts that were not durable, and of evictions, are still on their way.
    daemon.process().EndsWithin(static_cast<uint32_t>(random() % 20));
    daemon.Kill();
    Daemon next(directory, DaemonOptions{});
    ASSERT_TRUE(next.WaitUntilReady()) << "seed " << kSeed << " round " << round << "\n"
                                       << next.Log();
    ExpectFound(next.socket_path(), served);
    if (round % 2 == 0) {
      next.Kill();
    } else {
      EXPECT_EQ(next.Stop(), 0) << next.Log();
    }
  }
  EXPECT_FALSE(served.empty());
}

TEST(Crash, BlocksThatHadReachedNvmeAreHitAgain) {
  const TemporaryDirectory directory;
  Daemon first(directory, DaemonOptions{});
  ASSERT_TRUE(first.WaitUntilReady()) << first.Log();
  // None is durable: nothing was flushed, and the catalogue may not know of them.
  TestEngine engine;
  EngineOptions options;
  options.socket_path = first.socket_path();
  ASSERT_EQ(engine.Open(options), KVP_OK) << engine.error();
  std::vector<Acknowledged> served;
  for (uint64_t prompt = 1; prompt <= 50; ++prompt) {
    ASSERT_EQ(engine.ServeAndEvict(prompt, kPromptBlocks).status, KVP_OK) << engine.error();
    served.push_back({prompt, false});
  }
  engine.Close();
  first.Kill();
  Daemon second(directory, DaemonOptions{});
  ASSERT_TRUE(second.WaitUntilReady()) << second.Log();
  EXPECT_EQ(ExpectFound(second.socket_path(), served), 50u * kPromptBlocks) << second.Log();
  EXPECT_EQ(second.Stop(), 0) << second.Log();
}

TEST(Crash, AReplayOutlivesADaemonThatComesBack) {
  const TemporaryDirectory directory;
  const TraceShape shape = {.sessions = 24, .turns = 6, .turn_blocks = 6};
  const std::string trace = WriteTrace(directory, "trace.jsonl", shape);
  DaemonOptions dying;
  dying.environment = {{"KVPAGER_CRASH_AT", "nvme_write_completed:40"}};
  Daemon first(directory, dying);
  ASSERT_TRUE(first.WaitUntilReady()) << first.Log();
  const ReplayOptions options = {first.socket_path(), trace, "replay", {}, "", std::nullopt};
  const std::unique_ptr<Process> replay = StartReplay(directory, options);
  ASSERT_EQ(first.process().Wait(120), static_cast<int>(kKilled)) << first.Log();
  Daemon second(directory, DaemonOptions{});
  ASSERT_TRUE(second.WaitUntilReady()) << second.Log();
  const ReplayResult result = FinishReplay(directory, options, *replay);
  EXPECT_EQ(result.exit_status, 0) << result.output;
  ASSERT_TRUE(result.report.present) << result.output;
  EXPECT_EQ(result.report.requests, shape.requests());
  EXPECT_EQ(result.report.pages_mismatched, 0u);
}

TEST(Crash, AReplaySaysThatItLostTheDaemon) {
  const TemporaryDirectory directory;
  const TraceShape shape = {.sessions = 24, .turns = 6, .turn_blocks = 6};
  const std::string trace = WriteTrace(directory, "trace.jsonl", shape);
  DaemonOptions dying;
  dying.environment = {{"KVPAGER_CRASH_AT", "nvme_write_completed:40"}};
  Daemon daemon(directory, dying);
  ASSERT_TRUE(daemon.WaitUntilReady()) << daemon.Log();
  const ReplayOptions options = {daemon.socket_path(),      trace, "replay",
                                 {"--reconnect-seconds=1"}, "",    std::nullopt};
  const ReplayResult result = RunReplay(directory, options);
  EXPECT_NE(result.exit_status, 0);
  EXPECT_NE(result.exit_status, -1) << "it hung";
  EXPECT_LT(result.exit_status, 128) << "it died by a signal";
  EXPECT_NE(result.output.find("daemon"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace kvpager::e2e
