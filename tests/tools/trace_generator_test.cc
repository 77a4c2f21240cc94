// Proves that generated traffic is the same for the same seed, and has the shape of the published
// traces: lengths, sharing, order.

#include "tools/kvpager-replay/trace_generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "tools/kvpager-replay/ideal_lru.h"

namespace kvpager::replay {
namespace {

Trace Generate(uint64_t requests, uint64_t seed) {
  TraceGeneratorOptions options;
  options.requests = requests;
  options.seed = seed;
  return GenerateTrace(options);
}

TEST(TraceGenerator, TheSameSeedGivesTheSameTraceAndAnotherAnother) {
  const Trace first = Generate(500, 7);
  const Trace second = Generate(500, 7);
  const Trace other = Generate(500, 8);
  ASSERT_EQ(first.requests.size(), 500u);
  bool differs = false;
  for (size_t i = 0; i < first.requests.size(); ++i) {
    EXPECT_EQ(first.requests[i].timestamp_ms, second.requests[i].timestamp_ms);
    EXPECT_EQ(first.requests[i].input_tokens, second.requests[i].input_tokens);
    EXPECT_EQ(first.requests[i].output_tokens, second.requests[i].output_tokens);
    EXPECT_EQ(first.requests[i].hash_ids, second.requests[i].hash_ids);
    differs |= first.requests[i].input_tokens != other.requests[i].input_tokens;
  }
  EXPECT_TRUE(differs);
}

TEST(TraceGenerator, RequestsLieInOneHourInOrder) {
  const Trace trace = Generate(4000, 1);
  EXPECT_TRUE(std::is_sorted(
      trace.requests.begin(), trace.requests.end(),
      [](const Request& a, const Request& b) { return a.timestamp_ms < b.timestamp_ms; }));
  EXPECT_LT(trace.requests.back().timestamp_ms, 3600u * 1000u);
  EXPECT_GT(trace.requests.back().timestamp_ms, 3500u * 1000u);
}

TEST(TraceGenerator, AnIdNamesABlockAndAllBeforeIt) {
  std::map<uint64_t, uint64_t> before;  // id -> the one before it
  for (const Request& request : Generate(4000, 1).requests) {
    ASSERT_GE(request.hash_ids.size(), request.full_blocks());
    ASSERT_LE(request.hash_ids.size(), request.full_blocks() + 1);
    for (size_t i = 0; i < request.hash_ids.size(); ++i) {
      const uint64_t parent = i == 0 ? ~uint64_t{0} : request.hash_ids[i - 1];
      const auto [known, is_new] = before.emplace(request.hash_ids[i], parent);
      ASSERT_EQ(known->second, parent) << "id " << request.hash_ids[i];
    }
  }
}

TEST(TraceGenerator, HasTheStatisticsOfPublishedTraces) {
  for (const uint64_t seed : {1, 2, 3}) {
    const Trace trace = Generate(4000, seed);
    std::vector<uint64_t> inputs;
    std::vector<uint64_t> outputs;
    uint64_t input_sum = 0;
    IdealLru without_end(uint64_t{1} << 24);
    for (const Request& request : trace.requests) {
      inputs.push_back(request.input_tokens);
      outputs.push_back(request.output_tokens);
      input_sum += request.input_tokens;
      without_end.Serve(absl::MakeSpan(request.hash_ids).first(request.full_blocks()));
    }
    std::sort(inputs.begin(), inputs.end());
    std::sort(outputs.begin(), outputs.end());
    SCOPED_TRACE(testing::Message()
                 << "seed " << seed << ": input mean " << input_sum / inputs.size() << " median "
                 << inputs[2000] << " p99 " << inputs[3960] << ", output median " << outputs[2000]
                 << ", blocks " << without_end.lookup_blocks() << ", hit "
                 << without_end.hit_ratio());
    EXPECT_GT(inputs[2000], 5000u);
    EXPECT_LT(inputs[2000], 11000u);
    EXPECT_GT(input_sum / inputs.size(), 8000u);
    EXPECT_LT(input_sum / inputs.size(), 15000u);
    EXPECT_GT(inputs[3960], 40000u);  // A long tail.
    EXPECT_GT(outputs[2000], 100u);
    EXPECT_LT(outputs[2000], 400u);
    EXPECT_LE(outputs.back(), 2000u);
    EXPECT_GT(without_end.hit_ratio(), 0.40);
    EXPECT_LT(without_end.hit_ratio(), 0.65);
    // More blocks than the default tiers hold, so that all of them take part.
    EXPECT_GT(without_end.lookup_blocks() - without_end.hit_blocks(), 34000u);
  }
}

}  // namespace
}  // namespace kvpager::replay
