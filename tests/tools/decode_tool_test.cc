// What kvpager-decode says of outputs and of times.

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/dtype.h"
#include "tools/kvpager-decode/content.h"
#include "tools/kvpager-decode/oracle.h"
#include "tools/kvpager-decode/plot.h"
#include "tools/kvpager-decode/presets.h"
#include "tools/kvpager-decode/summary.h"

namespace kvpager::decode {
namespace {

ModelShape Small() { return *FindPreset("small"); }

TEST(Content, IsHeldExactlyByEveryTypeOfPage) {
  const Content content(Small(), 7);
  std::vector<float> row(Small().geometry.head_dim_k);
  float largest = 0;
  for (uint64_t token = 0; token < 64; ++token) {
    content.K(1, token, 1, row.data());
    for (const float value : row) {
      EXPECT_EQ(kernels::F16ToFloat(kernels::FloatToF16(value)), value);
      EXPECT_EQ(kernels::Bf16ToFloat(kernels::FloatToBf16(value)), value);
      EXPECT_EQ(kernels::F8E4m3ToFloat(kernels::FloatToF8E4m3(value)), value);
      largest = std::max(largest, std::abs(value));
    }
  }
  EXPECT_EQ(largest, 2.0f);
}

TEST(Content, DependsOnSeedLayerTokenAndHead) {
  const auto first = [](uint64_t seed, uint32_t layer, uint64_t token, uint32_t head) {
    std::vector<float> row(Small().geometry.head_dim_k);
    Content(Small(), seed).K(layer, token, head, row.data());
    return row;
  };
  const std::vector<float> row = first(1, 2, 3, 1);
  EXPECT_EQ(row, first(1, 2, 3, 1));
  EXPECT_NE(row, first(2, 2, 3, 1));
  EXPECT_NE(row, first(1, 1, 3, 1));
  EXPECT_NE(row, first(1, 2, 4, 1));
  EXPECT_NE(row, first(1, 2, 3, 0));
}

// The oracle against an output that it has not made: the first token sees itself alone.
TEST(Oracle, AcceptsTheRightOutputAndNoOther) {
  for (const std::string name : {"small", "deepseek-v3"}) {
    const ModelShape model = *FindPreset(name);
    const Content content(model, 3);
    Sample sample{.layer = 2, .query_head = 1, .token = 0};
    sample.output.resize(model.head_dim_v);
    content.V(2, 0, 0, sample.output.data());
    EXPECT_LT(LargestError(model, content, sample), 1e-6) << name;
    sample.output[5] += 0.01f;
    EXPECT_GT(LargestError(model, content, sample), kTolerance) << name;
    sample.output[5] = std::nanf("");
    EXPECT_GT(LargestError(model, content, sample), kTolerance) << name;
  }
}

// A query that looks for a token finds it: the output is nearly that token's V.
TEST(Oracle, FindsWhatAQueryLooksFor) {
  const ModelShape model = Small();
  const Content content(model, 3);
  Sample sample{.layer = 0, .query_head = 0, .token = 300};
  sample.output.resize(model.head_dim_v);
  int found = 0;
  for (uint64_t token = 0; token <= sample.token; ++token) {
    content.V(0, token, 0, sample.output.data());
    found += LargestError(model, content, sample) < 0.1;
  }
  EXPECT_EQ(found, 1);
}

TEST(Presets, HaveTheBytesPerTokenThatIsKnownOfTheModels) {
  EXPECT_EQ(TokenBytes(*FindPreset("llama-3-70b")), 320u * 1024);
  EXPECT_EQ(TokenBytes(*FindPreset("llama-3-8b")), 128u * 1024);
  EXPECT_EQ(TokenBytes(*FindPreset("deepseek-v3")), 61u * 576 * 2);
  EXPECT_FALSE(FindPreset("llama").has_value());
}

ModeFigures Figures(const std::vector<double>& seconds) {
  ModeFigures figures;
  figures.name = "streamed";
  for (const double each : seconds) {
    figures.tokens.push_back({.seconds = each,
                              .nvme_bytes = 100,
                              .copied_bytes = 200,
                              .plain_nvme_seconds = each / 2,
                              .plain_copy_seconds = each / 4});
  }
  return figures;
}

TEST(Summary, NamesTheSlowestLinkAndItsShare) {
  const ModeSummary summary = Summarize(Figures({9, 9, 9, 2, 2, 2, 2, 4, 2, 2}));
  EXPECT_EQ(summary.p50, 2);
  EXPECT_EQ(summary.p99, 9);
  EXPECT_EQ(summary.max, 4);  // After the first three.
  EXPECT_EQ(summary.link, "nvme>host");
  EXPECT_DOUBLE_EQ(summary.link_ratio, 0.5);
  EXPECT_EQ(summary.plain_p50, 1);
  EXPECT_EQ(summary.nvme_bytes, 100);
  EXPECT_EQ(summary.copied_bytes, 200);
}

TEST(Summary, OfNothingIsNothing) {
  const ModeSummary summary = Summarize(ModeFigures{});
  EXPECT_EQ(summary.p50, 0);
  EXPECT_EQ(summary.link, "");
  EXPECT_EQ(summary.link_ratio, 0);
}

TEST(Plot, HasALineForEachModeAndAllTokens) {
  Report report;
  report.modes = {Figures({1e-3, 2e-3}), Figures({1e-2, 3e-2, 2e-2})};
  const std::string svg = Plot(report);
  size_t dots = 0;
  size_t lines = 0;
  for (size_t at = 0; (at = svg.find("<circle", at)) != std::string::npos; ++at) ++dots;
  for (size_t at = 0; (at = svg.find("<polyline", at)) != std::string::npos; ++at) ++lines;
  EXPECT_EQ(dots, 5u);
  EXPECT_EQ(lines, 2u);
  EXPECT_NE(svg.find(">10 ms<"), std::string::npos);
}

}  // namespace
}  // namespace kvpager::decode
