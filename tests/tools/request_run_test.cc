// Proves that a request is cut into steps that add up to it: prompt, answer, parts for a small
// window, and again after a loss.

#include "tools/kvpager-replay/request_run.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace kvpager::replay {
namespace {

Request MakeRequest(uint64_t input, uint64_t output) {
  Request request;
  request.input_tokens = input;
  request.output_tokens = output;
  request.hash_ids.resize((input + kTraceBlockTokens - 1) / kTraceBlockTokens);
  std::iota(request.hash_ids.begin(), request.hash_ids.end(), 1);
  return request;
}

StepShape Shape(uint32_t window_blocks) {
  StepShape shape;
  shape.prefill_blocks = 4;
  shape.window_blocks = window_blocks;
  return shape;
}

TEST(RequestRun, ScalesTokensAsBlocks) {
  const Request request = MakeRequest(10 * 512 + 256, 1000);
  const RequestRun run(0, request, 1, Shape(100));
  EXPECT_EQ(run.keys().size(), 10u);
  EXPECT_EQ(run.prompt_tokens(), 10u * 16 + 8);
  EXPECT_EQ(run.decoded_tokens(), 31u);  // 1000 * 16 / 512
  const Request silent = MakeRequest(100, 0);
  EXPECT_EQ(RequestRun(0, silent, 1, Shape(100)).decoded_tokens(), 1u);
}

TEST(RequestRun, StepsAddUpToPromptAndAnswer) {
  const Request request = MakeRequest(10 * 512 + 256, 100);
  RequestRun run(0, request, 1, Shape(100));
  run.Opened(1, 3 * 16);
  std::vector<uint32_t> appended;
  bool final_seen = false;
  while (!run.finished()) {
    EXPECT_FALSE(final_seen);
    run.PlanStep();
    EXPECT_FALSE(run.in_parts());
    EXPECT_EQ(run.part().first, 0u);
    EXPECT_EQ(run.part().count, (run.tokens() + run.append_tokens() + 15) / 16);
    EXPECT_EQ(run.is_decode(), run.tokens() >= run.prompt_tokens());
    final_seen = run.is_final();
    appended.push_back(run.append_tokens());
    run.StepKept();
  }
  EXPECT_TRUE(final_seen);
  EXPECT_EQ(appended, (std::vector<uint32_t>{64, 56, 1, 1, 1}));
}

TEST(RequestRun, AStepBeyondTheWindowReadsEveryBlockOnceInParts) {
  const Request request = MakeRequest(20 * 512, 64);
  RequestRun run(0, request, 1, Shape(6));
  run.Opened(1, 18 * 16);
  while (!run.finished()) {
    run.PlanStep();
    ASSERT_TRUE(run.in_parts());
    std::vector<int> read(21, 0);
    uint32_t appended = 0;
    while (true) {
      EXPECT_LE(run.part().count, 6u);
      for (uint32_t i = 0; i < run.part().count; ++i) ++read[run.part().first + i];
      appended += run.part_append_tokens();
      if (run.at_last_part()) break;
      run.NextPart();
    }
    EXPECT_EQ(appended, run.append_tokens());
    const auto blocks = static_cast<int64_t>((run.tokens() + run.append_tokens() + 15) / 16);
    for (int64_t i = 0; i < 21; ++i) EXPECT_EQ(read[static_cast<size_t>(i)], i < blocks ? 1 : 0);
    run.StepKept();
  }
}

TEST(RequestRun, AfterALossTheRestIsDoneAgain) {
  const Request request = MakeRequest(8 * 512, 64);
  RequestRun run(0, request, 1, Shape(100));
  run.Opened(1, 4 * 16);
  run.PlanStep();
  run.StepKept();
  run.blocks_named = 8;
  run.VerifiedIn(1, 0) = 5;
  run.VerifiedIn(6, 0) = 7;
  EXPECT_EQ(run.CutTo(2 * 16), 6u);
  EXPECT_EQ(run.tokens(), 32u);
  EXPECT_EQ(run.blocks_named, 2u);
  EXPECT_EQ(run.VerifiedIn(1, 0), 5u);
  EXPECT_EQ(run.VerifiedIn(6, 0), ~0u);
  EXPECT_TRUE(run.was_reused(1));
  EXPECT_FALSE(run.was_reused(2));
  run.PlanStep();
  EXPECT_EQ(run.append_tokens(), 64u);
}

TEST(RequestRun, OnlyThePromptsFullBlocksAreSharedContent) {
  const Request request = MakeRequest(2 * 512 + 300, 512);
  RequestRun one(0, request, 1, Shape(100));
  RequestRun same_prompt(1, request, 1, Shape(100));
  RequestRun other_namespace(0, request, 2, Shape(100));
  for (uint32_t block = 0; block < 3; ++block) {
    EXPECT_EQ(one.IdentityOf(block) == same_prompt.IdentityOf(block), block < 2) << block;
    EXPECT_NE(one.IdentityOf(block), other_namespace.IdentityOf(block));
  }
}

}  // namespace
}  // namespace kvpager::replay
