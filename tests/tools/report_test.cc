// Proves that the JSON has every field that scripts rely on, with the right numbers, and that a
// wrong page, an unfinished run or a failure is never reported as passed.

#include "tools/kvpager-replay/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace kvpager::replay {
namespace {

using testing::HasSubstr;
using testing::Not;

Metrics MakeMetrics() {
  Metrics metrics;
  metrics.requests = 10;
  metrics.lookup_blocks = 1000;
  metrics.hit_blocks = {100, 200, 50};
  metrics.steps = 3;
  metrics.pages_verified = 1234567;
  metrics.attention_checked = 4;
  for (const uint64_t ns : {0u, 10'000u, 2'000'000u}) {
    metrics.wait_ns.total.Add(ns);
    metrics.wait_ns.nvme.Add(ns / 2);
    metrics.wait_ns.host.Add(0);
    metrics.wait_ns.room.Add(0);
    metrics.wait_ns.queue.Add(ns);
  }
  return metrics;
}

Summary MakeSummary() {
  Summary summary;
  summary.trace = "a \"trace\" with \\ and \n in its name";
  summary.requests_total = 10;
  summary.ideal_places = 34000;
  summary.ideal_lru_hit_ratio = 0.358;
  summary.wall_seconds = 12.5;
  summary.daemon_told = true;
  summary.moved_bytes = {1, 2, 3, 4};
  summary.nvme_written_bytes = 3;
  return summary;
}

TEST(Report, JsonHasEveryFieldThatScriptsRelyOn) {
  const auto json = nlohmann::json::parse(ReportJson(MakeMetrics(), MakeSummary()), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_EQ(json["trace"], MakeSummary().trace);
  EXPECT_EQ(json["result"], "passed");
  EXPECT_EQ(json["requests"], 10);
  EXPECT_EQ(json["lookup_blocks"], 1000);
  EXPECT_EQ(json["hit_blocks"]["hbm"], 100);
  EXPECT_EQ(json["hit_blocks"]["host"], 200);
  EXPECT_EQ(json["hit_blocks"]["nvme"], 50);
  EXPECT_DOUBLE_EQ(json["prefix_hit_ratio"], 0.35);
  EXPECT_DOUBLE_EQ(json["ideal_lru_hit_ratio"], 0.358);
  EXPECT_EQ(json["pages_verified"], 1234567);
  EXPECT_EQ(json["pages_mismatched"], 0);
  EXPECT_EQ(json["steps"], 3);
  EXPECT_NEAR(json["step_wait_us"]["p50"], 10.0, 0.2);
  EXPECT_DOUBLE_EQ(json["step_wait_us"]["max"], 2000.0);
  for (const char* percentile : {"p50", "p99", "p999", "max"}) {
    EXPECT_TRUE(json["step_wait_us"][percentile].is_number());
    for (const char* cause : {"host", "nvme", "room", "queue"}) {
      EXPECT_TRUE(json["step_wait_us_by_cause"][cause][percentile].is_number()) << cause;
    }
  }
  EXPECT_DOUBLE_EQ(json["step_wait_us_by_cause"]["nvme"]["max"], 1000.0);
  EXPECT_EQ(json["moved_bytes"]["hbm_to_host"], 1);
  EXPECT_EQ(json["moved_bytes"]["host_to_hbm"], 2);
  EXPECT_EQ(json["moved_bytes"]["host_to_nvme"], 3);
  EXPECT_EQ(json["moved_bytes"]["nvme_to_host"], 4);
  EXPECT_EQ(json["nvme_written_bytes"], 3);
  EXPECT_DOUBLE_EQ(json["wall_seconds"], 12.5);
}

TEST(Report, TheTableIsForPeople) {
  const std::string table = ReportTable(MakeMetrics(), MakeSummary());
  EXPECT_THAT(table, HasSubstr("1,234,567   all right"));
  EXPECT_THAT(table, HasSubstr("35.0 %"));
  EXPECT_THAT(table, HasSubstr("an ideal LRU of 34,000 blocks: 35.8 %"));
  EXPECT_THAT(table, HasSubstr("2.0 ms"));
  EXPECT_THAT(table, HasSubstr("PASSED: every page was right."));
}

TEST(Report, NothingWrongIsEverAPass) {
  const auto result = [](const Metrics& metrics, const Summary& summary) {
    EXPECT_THAT(ReportTable(metrics, summary), Not(HasSubstr("PASSED")));
    EXPECT_THAT(ReportTable(metrics, summary), HasSubstr("FAILED"));
    return nlohmann::json::parse(ReportJson(metrics, summary), nullptr, false)["result"];
  };
  Metrics metrics = MakeMetrics();
  metrics.pages_mismatched = 1;
  EXPECT_EQ(result(metrics, MakeSummary()), "failed");
  metrics = MakeMetrics();
  metrics.attention_mismatched = 1;
  EXPECT_EQ(result(metrics, MakeSummary()), "failed");
  Summary summary = MakeSummary();
  summary.requests_total = 11;
  EXPECT_EQ(result(MakeMetrics(), summary), "failed");
  summary = MakeSummary();
  summary.failure = "lost the daemon";
  EXPECT_EQ(result(MakeMetrics(), summary), "failed");
}

TEST(Histogram, PercentilesAreAtMostTwoPercentHigh) {
  Histogram histogram;
  for (uint64_t value = 1; value <= 100000; ++value) histogram.Add(value * 37);
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const double truth = share * 100000 * 37;
    const auto said = static_cast<double>(histogram.Percentile(share));
    EXPECT_GE(said, truth - 1) << share;
    EXPECT_LE(said, truth * 1.02) << share;
  }
  EXPECT_EQ(histogram.Percentile(1.0), 3700000u);
  EXPECT_EQ(histogram.max(), 3700000u);
  EXPECT_EQ(Histogram().Percentile(0.5), 0u);
  Histogram largest;
  largest.Add(~uint64_t{0});
  EXPECT_EQ(largest.Percentile(0.5), ~uint64_t{0});
}

TEST(Report, NumbersReadAsPeopleWriteThem) {
  EXPECT_EQ(WithCommas(0), "0");
  EXPECT_EQ(WithCommas(999), "999");
  EXPECT_EQ(WithCommas(276491), "276,491");
  EXPECT_EQ(WithCommas(1000000), "1,000,000");
  EXPECT_EQ(DurationText(950), "950 ns");
  EXPECT_EQ(DurationText(12'340), "12.3 us");
  EXPECT_EQ(DurationText(1'234'000), "1.2 ms");
  EXPECT_EQ(BytesText(512), "512 B");
  EXPECT_EQ(BytesText(3 << 20), "3.0 MiB");
}

}  // namespace
}  // namespace kvpager::replay
