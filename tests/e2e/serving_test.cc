// That the real programs together serve what they should: every page verified, the prefix reused,
// namespaces apart, engines of one namespace sharing, restarts warm.
//
// How: kvpagerd with few blocks in HBM and host memory, so that all tiers take part, and
// kvpager-replay on a trace made to measure; the numbers it must report follow from the trace.

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

constexpr uid_t kNobody = 65534;
constexpr uint64_t kSmallMemlockBytes = 8 << 20;

class Serving : public ::testing::Test {
 protected:
  void Start(const DaemonOptions& options = {}) {
    daemon_ = std::make_unique<Daemon>(directory_, options);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
  }

  ReplayOptions OptionsFor(const std::string& name, const std::string& trace,
                           const std::vector<std::string>& flags = {}) {
    return {daemon_->socket_path(), trace, name, flags, "", std::nullopt};
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Daemon> daemon_;
};

void ExpectClean(const ReplayResult& result, const TraceShape& shape) {
  EXPECT_EQ(result.exit_status, 0) << result.output;
  ASSERT_TRUE(result.report.present) << result.output;
  EXPECT_EQ(result.report.requests, shape.requests());
  EXPECT_EQ(result.report.lookup_blocks, shape.lookup_blocks());
  EXPECT_GE(result.report.pages_verified, shape.lookup_blocks());
  EXPECT_EQ(result.report.pages_mismatched, 0u) << result.output;
}

TEST_F(Serving, TheExampleEngineFindsInRoundTwoWhatItNamedInRoundOne) {
  Start();
  ProcessOptions options;
  options.command = {KVPAGER_EXAMPLE_PATH, daemon_->socket_path()};
  options.output_path = directory_.File("example.out");
  Process example(options);
  EXPECT_EQ(example.Wait(60), 0) << example.Output();
  EXPECT_NE(example.Output().find("round 0: 0 prompt"), std::string::npos) << example.Output();
  EXPECT_EQ(example.Output().find("round 1: 0 prompt"), std::string::npos) << example.Output();
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
}

TEST_F(Serving, TheExampleWithAnEventLoopFindsAllThatItNamedAndNeverAWrongRow) {
  Start();
  ProcessOptions options;
  options.command = {KVPAGER_EVENT_LOOP_EXAMPLE_PATH, daemon_->socket_path()};
  options.output_path = directory_.File("example.out");
  Process example(options);
  EXPECT_EQ(example.Wait(60), 0) << example.Output();
  EXPECT_NE(example.Output().find("round 0: 0 prompt"), std::string::npos) << example.Output();
  EXPECT_NE(example.Output().find("round 1: 288 prompt"), std::string::npos) << example.Output();
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
}

TEST_F(Serving, AReplayIsHitInEveryTierAndVerified) {
  Start();
  const TraceShape shape = {.sessions = 12, .turns = 6, .turn_blocks = 6};
  const std::string trace = WriteTrace(directory_, "trace.jsonl", shape);
  const ReplayResult result = RunReplay(directory_, OptionsFor("replay", trace, {"--in-flight=1"}));
  ExpectClean(result, shape);
  // 2,048 places hold all 432 blocks. Some may be dropped where writing to NVMe cannot keep up.
  EXPECT_GE(result.report.hits() * 100, shape.reused_blocks() * 75) << result.output;
  EXPECT_GT(result.report.hit_hbm, 0u);
  EXPECT_GT(result.report.hit_host, 0u);
  EXPECT_GT(result.report.hit_nvme, 0u);
  EXPECT_GT(result.report.nvme_written_bytes, 0u);
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
}

TEST_F(Serving, SequencesGrowFromCredits) {
  DaemonOptions options;
  options.blocks_hbm = 256;
  Start(options);
  const TraceShape shape = {.sessions = 8, .turns = 4, .output_tokens = 64 * 32};
  const std::string trace = WriteTrace(directory_, "trace.jsonl", shape);
  ExpectClean(RunReplay(directory_, OptionsFor("replay", trace)), shape);
  const Facts status = RunCtl(*daemon_, directory_, {"status"});
  EXPECT_GT(status.Counter("credits_used"), 0u);
  EXPECT_GE(status.Counter("credits_granted"), status.Counter("credits_used"));
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
}

TEST_F(Serving, LayersMayBePagedOneByOne) {
  Start();
  const TraceShape shape;
  const std::string trace = WriteTrace(directory_, "trace.jsonl", shape);
  const ReplayResult result =
      RunReplay(directory_, OptionsFor("replay", trace, {"--layers-per-page=1"}));
  ExpectClean(result, shape);
  EXPECT_GE(result.report.pages_verified, 4 * shape.lookup_blocks());
  EXPECT_GT(result.report.hit_nvme, 0u);
}

TEST_F(Serving, SixteenRequestsInFlightAreServed) {
  DaemonOptions options;
  options.blocks_hbm = 256;
  Start(options);
  const TraceShape shape = {.sessions = 32, .turns = 5, .turn_blocks = 6};
  const std::string trace = WriteTrace(directory_, "trace.jsonl", shape);
  ExpectClean(RunReplay(directory_, OptionsFor("replay", trace, {"--in-flight=16"})), shape);
}

TEST_F(Serving, SixteenRequestsInFlightAreServedWithoutRoomForAllOfThem) {
  Start();  // 48 blocks in HBM: one long request fills most of it.
  const TraceShape shape;
  const std::string trace = WriteTrace(directory_, "trace.jsonl", shape);
  ExpectClean(RunReplay(directory_, OptionsFor("replay", trace, {"--in-flight=16"})), shape);
}

TEST_F(Serving, EnginesInTwoNamespacesNeverSeeEachOthersBlocks) {
  Start();
  const TraceShape shape = {.sessions = 8, .turns = 4, .turn_blocks = 5};
  const std::string trace = WriteTrace(directory_, "trace.jsonl", shape);
  const ReplayOptions a = OptionsFor("a", trace, {"--namespace=a"});
  const ReplayOptions b = OptionsFor("b", trace, {"--namespace=b"});
  const std::unique_ptr<Process> process_a = StartReplay(directory_, a);
  const std::unique_ptr<Process> process_b = StartReplay(directory_, b);
  const ReplayResult result_a = FinishReplay(directory_, a, *process_a);
  const ReplayResult result_b = FinishReplay(directory_, b, *process_b);
  ExpectClean(result_a, shape);
  ExpectClean(result_b, shape);
  // Alone, each can hit what it named itself; a block more would be the other's.
  EXPECT_LE(result_a.report.hits(), shape.reused_blocks());
  EXPECT_LE(result_b.report.hits(), shape.reused_blocks());
  EXPECT_GT(result_a.report.hits(), 0u);
  EXPECT_GT(result_b.report.hits(), 0u);
}

TEST_F(Serving, ASecondEngineOfTheNamespaceIsServedTheFirstOnesBlocks) {
  DaemonOptions options;
  options.blocks_host = 512;  // All of it: nothing has to be dropped.
  Start(options);
  const TraceShape shape = {.sessions = 8, .turns = 4, .turn_blocks = 5};
  const std::string trace = WriteTrace(directory_, "trace.jsonl", shape);
  ExpectClean(RunReplay(directory_, OptionsFor("first", trace)), shape);
  const ReplayResult second = RunReplay(directory_, OptionsFor("second", trace));
  ExpectClean(second, shape);
  EXPECT_EQ(second.report.hits(), shape.lookup_blocks()) << second.output;
}

TEST_F(Serving, TwoEnginesOfOneNamespaceShareWhileBothRun) {
  Start();
  const TraceShape shape = {.sessions = 8, .turns = 4, .turn_blocks = 5};
  const std::string trace = WriteTrace(directory_, "trace.jsonl", shape);
  const ReplayOptions a = OptionsFor("a", trace);
  const ReplayOptions b = OptionsFor("b", trace);
  const std::unique_ptr<Process> process_a = StartReplay(directory_, a);
  const std::unique_ptr<Process> process_b = StartReplay(directory_, b);
  ExpectClean(FinishReplay(directory_, a, *process_a), shape);
  ExpectClean(FinishReplay(directory_, b, *process_b), shape);
}

TEST_F(Serving, ACleanRestartFindsEverythingThatWasOnNvme) {
  constexpr uint64_t kPrompts = 50;
  constexpr uint32_t kBlocks = 8;
  Start();
  TestEngine engine;
  EngineOptions options;
  options.socket_path = daemon_->socket_path();
  ASSERT_EQ(engine.Open(options), KVP_OK) << engine.error();
  for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
    ASSERT_EQ(engine.ServeAndEvict(prompt, kBlocks).status, KVP_OK) << engine.error();
  }
  engine.Close();
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
  Start();
  ASSERT_EQ(engine.Open(options), KVP_OK) << engine.error();
  for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
    const Served served = engine.Serve(prompt, kBlocks, 0);
    EXPECT_EQ(served.status, KVP_OK) << engine.error();
    EXPECT_EQ(served.reused_blocks, kBlocks) << "prompt " << prompt;
    EXPECT_EQ(served.mismatched_blocks, 0u) << "prompt " << prompt;
  }
}

TEST_F(Serving, CorruptBytesBecomeMissesOrAFailedRunButNeverAPass) {
  Start();
  const TraceShape shape = {.sessions = 16, .turns = 6, .turn_blocks = 6};
  const std::string trace = WriteTrace(directory_, "trace.jsonl", shape);
  ReplayResult result =
      RunReplay(directory_, OptionsFor("replay", trace, {"--inject=corrupt=200"}));
  ASSERT_TRUE(result.report.present) << result.output;
  EXPECT_GT(result.report.injected, 0u) << "no fault was injected\n" << result.output;
  if (result.exit_status == 0) {
    EXPECT_EQ(result.report.pages_mismatched, 0u) << "it passed although pages were wrong";
    EXPECT_LT(result.report.hits(), shape.reused_blocks()) << "no fault was hit";
  }
}

TEST_F(Serving, AnOrdinaryUserWithLittleMemlockIsServed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const TemporaryDirectory place(Place::kSystem);
  place.GiveTo(kNobody);
  for (const char* program : {"kvpagerd", "kvpager-replay"}) {
    std::filesystem::copy_file(ProgramPath(program), place.File(program));
  }
  DaemonOptions options;
  options.program_path = place.File("kvpagerd");
  options.uid = kNobody;
  options.memlock_bytes_max = kSmallMemlockBytes;
  options.blocks_host = 512;  // 18 MiB: cannot be registered.
  Daemon daemon(place, options);
  ASSERT_TRUE(daemon.WaitUntilReady()) << daemon.Log();
  const TraceShape shape;
  const std::string trace = WriteTrace(place, "trace.jsonl", shape);
  const ReplayOptions replay = {daemon.socket_path(),         trace,  "replay", {},
                                place.File("kvpager-replay"), kNobody};
  ExpectClean(RunReplay(place, replay), shape);
  EXPECT_EQ(daemon.Stop(), 0) << daemon.Log();
}

}  // namespace
}  // namespace kvpager::e2e
