// Proves that the ideal LRU hits what a hand-computed one hits, and what published numbers for the
// real traces say.

#include "tools/kvpager-replay/ideal_lru.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/tools/shared_traces.h"
#include "tools/kvpager-replay/trace_reader.h"

namespace kvpager::replay {
namespace {

using Blocks = std::vector<uint64_t>;

TEST(IdealLru, HitsTheLongestPrefixOnly) {
  IdealLru lru(10);
  EXPECT_EQ(lru.Serve(Blocks{1, 2, 3}), 0u);
  EXPECT_EQ(lru.Serve(Blocks{1, 2, 3, 4}), 3u);
  EXPECT_EQ(lru.Serve(Blocks{9, 2, 3}), 0u);  // Their head is not there.
  EXPECT_EQ(lru.lookup_blocks(), 10u);
  EXPECT_EQ(lru.hit_blocks(), 3u);
}

TEST(IdealLru, DropsTheTailOfTheOldestChainFirst) {
  IdealLru lru(4);
  lru.Serve(Blocks{1, 2, 3});
  lru.Serve(Blocks{7, 8});  // Five blocks in four places: 3 goes, not 1.
  EXPECT_EQ(lru.Serve(Blocks{1, 2, 3}), 2u);
}

TEST(IdealLru, AChainLongerThanTheCacheKeepsItsHead) {
  IdealLru lru(2);
  lru.Serve(Blocks{1, 2, 3, 4});
  EXPECT_EQ(lru.Serve(Blocks{1, 2, 3, 4}), 2u);
}

TEST(IdealLru, WithoutPlacesNothingIsHit) {
  IdealLru lru(0);
  lru.Serve(Blocks{1});
  EXPECT_EQ(lru.Serve(Blocks{1}), 0u);
}

enum class Which { kAllBlocks, kFullBlocks };

double HitRatio(const Trace& trace, uint64_t places, Which which) {
  IdealLru lru(places);
  for (const Request& request : trace.requests) {
    const absl::Span<const uint64_t> ids = request.hash_ids;
    lru.Serve(which == Which::kAllBlocks ? ids : ids.first(request.full_blocks()));
  }
  return lru.hit_ratio();
}

TEST(IdealLru, AgreesWithThePublishedTableForTheConversationTrace) {
  const std::string path = SharedTrace("conversation_trace.jsonl.zst");
  if (path.empty()) GTEST_SKIP() << kNoSharedTraces;
  TraceReaderOptions options;
  options.path = path;
  const auto trace = ReadTrace(options);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->requests.size(), 12031u);
  uint64_t full_blocks = 0;
  for (const Request& request : trace->requests) full_blocks += request.full_blocks();
  EXPECT_EQ(full_blocks, 276491u);
  EXPECT_NEAR(HitRatio(*trace, 3000, Which::kAllBlocks), 0.065, 0.0006);
  EXPECT_NEAR(HitRatio(*trace, 10000, Which::kAllBlocks), 0.212, 0.0006);
  EXPECT_NEAR(HitRatio(*trace, 30000, Which::kAllBlocks), 0.326, 0.0006);
  // What a replay compares itself with: partial blocks have no name.
  EXPECT_NEAR(HitRatio(*trace, 30000, Which::kFullBlocks), 0.345, 0.001);
  EXPECT_NEAR(HitRatio(*trace, 34000, Which::kFullBlocks), 0.358, 0.001);
}

TEST(IdealLru, AgreesWithThePublishedTableForTheAgentTrace) {
  const std::string path = SharedTrace("agentic_dev_shared_512.jsonl.zst");
  if (path.empty()) GTEST_SKIP() << kNoSharedTraces;
  TraceReaderOptions options;
  options.path = path;
  const auto trace = ReadTrace(options);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->requests.size(), 21048u);
  EXPECT_NEAR(HitRatio(*trace, 1000, Which::kAllBlocks), 0.180, 0.0006);
  EXPECT_NEAR(HitRatio(*trace, 3000, Which::kAllBlocks), 0.529, 0.0006);
  EXPECT_NEAR(HitRatio(*trace, 10000, Which::kAllBlocks), 0.922, 0.0006);
}

}  // namespace
}  // namespace kvpager::replay
