// Proves, over a libkvpager without a daemon (fake_kvpager.h), that the runner serves every request
// whatever the library answers, that it compares every page, and that no wrong byte gets past it.

#include "tools/kvpager-replay/runner.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/tools/fake_kvpager.h"
#include "tools/kvpager-replay/trace_generator.h"

namespace kvpager::replay {
namespace {

constexpr uint64_t kRequests = 60;
constexpr uint32_t kFrames = 1500;

Options MakeOptions() {
  Options options;
  options.geometry.page_tokens = 4;
  options.geometry.num_layers = 2;
  options.geometry.layers_per_page = 2;
  options.geometry.num_kv_heads = 2;
  options.geometry.head_dim_k = 32;
  options.geometry.head_dim_v = 32;
  options.check_every = 5;
  options.reconnect_seconds = 0;
  return options;
}

struct Result {
  absl::Status status;
  Metrics metrics;
  uint64_t full_blocks = 0;
};

Result Replay(const Options& options, const FakeFaults& faults, uint32_t frames = kFrames) {
  ResetFake(faults, frames);
  TraceGeneratorOptions generator;
  generator.requests = kRequests;
  generator.seed = 11;
  const Trace trace = GenerateTrace(generator);
  Result result;
  for (const Request& request : trace.requests) result.full_blocks += request.full_blocks();
  result.full_blocks *= options.engines;
  Runner runner(options, trace, result.metrics);
  result.status = runner.Attach();
  if (result.status.ok()) {
    result.status = runner.Run([](const Metrics&) { return true; });
  }
  return result;
}

void ExpectAllServed(const Result& result, uint64_t requests = kRequests) {
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.metrics.requests, requests);
  EXPECT_EQ(result.metrics.lookup_blocks, result.full_blocks);
  EXPECT_EQ(result.metrics.pages_mismatched, 0u);
  EXPECT_EQ(result.metrics.attention_mismatched, 0u);
  EXPECT_GT(result.metrics.attention_checked, 0u);
  EXPECT_GE(result.metrics.pages_verified, result.full_blocks);
  EXPECT_EQ(FakeCounted().sequences_open, 0u);
  EXPECT_EQ(FakeCounted().steps_open, 0u);
}

TEST(Runner, ServesEveryRequestAndComparesEveryPage) {
  const Result result = Replay(MakeOptions(), {});
  ExpectAllServed(result);
  EXPECT_GT(result.metrics.hit_blocks[KVP_TIER_HBM], 0u);
  EXPECT_EQ(result.metrics.wait_ns.queue.max(), 1000u);
}

TEST(Runner, ServesOneLayerPerPageToo) {
  Options options = MakeOptions();
  options.geometry.layers_per_page = 1;
  const Result result = Replay(options, {}, 2 * kFrames);
  ExpectAllServed(result);
  EXPECT_GE(result.metrics.pages_verified, 2 * result.full_blocks);
}

TEST(Runner, ServesASequenceThatIsLargerThanItsWindowInParts) {
  Options options = MakeOptions();
  options.in_flight = 1;
  // The longest sequence fits the frames, but not the window, which is half of them.
  const Result result = Replay(options, {}, 260);
  ExpectAllServed(result);
}

TEST(Runner, ComparesAPageAgainWhenItsFrameChanges) {
  const uint64_t still = Replay(MakeOptions(), {}).metrics.pages_verified;
  FakeFaults faults;
  faults.move_pages = true;
  const Result result = Replay(MakeOptions(), faults);
  ExpectAllServed(result);
  EXPECT_GT(FakeCounted().moves, 1000u);
  EXPECT_GT(result.metrics.pages_verified, still + still / 2);
}

TEST(Runner, AByteThatIsLostInAMoveIsAMismatch) {
  FakeFaults faults;
  faults.move_pages = true;
  faults.corrupt_moved = true;
  EXPECT_GT(Replay(MakeOptions(), faults).metrics.pages_mismatched, 0u);
}

TEST(Runner, AByteThatIsWrongInTheCacheIsAMismatch) {
  FakeFaults faults;
  faults.corrupt_at_open = 10;
  EXPECT_GT(Replay(MakeOptions(), faults).metrics.pages_mismatched, 0u);
}

TEST(Runner, AViewInTheWrongOrderIsAMismatch) {
  FakeFaults faults;
  faults.wrong_view = true;
  EXPECT_GT(Replay(MakeOptions(), faults).metrics.pages_mismatched, 0u);
}

TEST(Runner, ASequenceThatWasCutIsComputedAgain) {
  FakeFaults faults;
  faults.lose_at_wait = 40;
  const Result result = Replay(MakeOptions(), faults);
  ExpectAllServed(result);
  EXPECT_EQ(result.metrics.data_losses, 1u);
  EXPECT_GT(result.metrics.blocks_recomputed, 0u);
}

TEST(Runner, ARefusalIsTriedAgainLater) {
  FakeFaults faults;
  faults.refuse_begin_every = 3;
  const Result result = Replay(MakeOptions(), faults);
  ExpectAllServed(result);
  EXPECT_GT(result.metrics.exhausted_retries, 0u);
}

TEST(Runner, AfterTheDaemonCameBackItsRequestsStartOver) {
  FakeFaults faults;
  faults.unavailable_at_wait = 70;
  const Result result = Replay(MakeOptions(), faults);
  ExpectAllServed(result);
  EXPECT_EQ(result.metrics.reconnects, 1u);
  EXPECT_GT(result.metrics.requests_restarted, 0u);
  EXPECT_EQ(FakeCounted().attaches, 2u);
}

TEST(Runner, ADaemonThatStaysAwayIsLost) {
  FakeFaults faults;
  faults.unavailable_at_wait = 70;
  faults.stays_away = true;
  const Result result = Replay(MakeOptions(), faults);
  EXPECT_EQ(result.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(result.metrics.requests, kRequests);
}

TEST(Runner, TwoNamespacesSeeNothingOfEachOther) {
  Options options = MakeOptions();
  const uint64_t alone = Replay(options, {}).metrics.hits();
  options.engines = 2;
  const Result result = Replay(options, {}, 2 * kFrames);
  ExpectAllServed(result, 2 * kRequests);
  EXPECT_EQ(result.metrics.hits(), 2 * alone);
}

TEST(Runner, ABlockThatLeaksIntoAnotherNamespaceIsAMismatch) {
  Options options = MakeOptions();
  options.engines = 2;
  FakeFaults faults;
  faults.leak_namespaces = true;
  EXPECT_GT(Replay(options, faults, 2 * kFrames).metrics.pages_mismatched, 0u);
}

TEST(Runner, InOneNamespaceTheSecondEngineIsServedTheFirstOnesBlocks) {
  Options options = MakeOptions();
  options.engines = 2;
  options.shared_namespace = true;
  const Result result = Replay(options, {}, 2 * kFrames);
  ExpectAllServed(result, 2 * kRequests);
  EXPECT_GE(result.metrics.hits(), result.full_blocks / 2);
}

}  // namespace
}  // namespace kvpager::replay
