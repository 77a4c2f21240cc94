// Proves that a plan covers every token that is seen exactly once, whole pages at a time, gives no
// worker more than its share and a page, and that several workers say what one says.

#include "kernels/work_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu/split_attention.h"
#include "tests/kernels/attention_check.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {
namespace {

constexpr uint64_t kSeed = 11;

struct Batch {
  std::vector<int64_t> lengths;
  std::vector<int32_t> queries;
};
const std::vector<Batch>& Batches() {
  static const std::vector<Batch> batches = {
      {{1}, {}},           {{0}, {}},          {{1000}, {}},
      {{1000, 3, 0}, {}},  {{5, 5, 5, 5}, {}}, {{16, 700, 16, 33}, {}},
      {{300, 40}, {7, 3}}, {{64, 64}, {0, 5}},
  };
  return batches;
}

TEST(WorkPlan, CoversEveryTokenOnce) {
  for (const Batch& batch : Batches()) {
    for (int32_t workers = 1; workers <= 9; ++workers) {
      const PagedFixture fixture(PagedShape(), batch.lengths, batch.queries, kSeed);
      const WorkPlan plan = PlanWork(fixture.kv(), fixture.query(), workers);
      ASSERT_EQ(plan.workers(), workers);
      ASSERT_EQ(plan.worker_first.back(), static_cast<int32_t>(plan.pieces.size()));
      ASSERT_EQ(plan.entry_first.size(), batch.lengths.size() + 1);
      for (size_t entry = 0; entry < batch.lengths.size(); ++entry) {
        int64_t next = 0;
        ASSERT_LT(plan.entry_first[entry], plan.entry_first[entry + 1]);
        for (int32_t i = plan.entry_first[entry]; i < plan.entry_first[entry + 1]; ++i) {
          const WorkPiece& piece = plan.pieces[static_cast<size_t>(i)];
          EXPECT_EQ(piece.entry, static_cast<int32_t>(entry));
          EXPECT_EQ(piece.tokens.first, next);
          next = piece.tokens.end;
          if (next != batch.lengths[entry]) {
            EXPECT_EQ(next % 16, 0);
          }
        }
        EXPECT_EQ(next, batch.lengths[entry]);
      }
    }
  }
}

TEST(WorkPlan, GivesEveryWorkerItsShareOfOneLongSequence) {
  const PagedFixture fixture(PagedShape(), {16 * 100}, kSeed);
  for (const int32_t workers : {2, 3, 7, 16}) {
    const WorkPlan plan = PlanWork(fixture.kv(), fixture.query(), workers);
    ASSERT_EQ(plan.pieces.size(), static_cast<size_t>(workers));
    for (const WorkPiece& piece : plan.pieces) {
      const int64_t pages = (piece.tokens.end - piece.tokens.first) / 16;
      EXPECT_GE(pages, 100 / workers);
      EXPECT_LE(pages, 100 / workers + 1);
    }
  }
}

TEST(WorkPlan, CountsOnlyWhatAWindowSees) {
  const PagedFixture fixture(PagedShape(), {16 * 100}, kSeed);
  AttentionQuery query = fixture.query();
  query.mask.window_tokens = 16 * 30;
  query.mask.sink_tokens = 16 * 10;
  const WorkPlan plan = PlanWork(fixture.kv(), query, 2);
  ASSERT_EQ(plan.pieces.size(), 2u);
  EXPECT_EQ(plan.pieces[0].tokens.first, 0);
  EXPECT_EQ(plan.pieces[0].tokens.end, 16 * 80);  // 10 pages of sinks, 10 of the window's 30.
  EXPECT_EQ(plan.pieces[1].tokens.first, 16 * 80);
  EXPECT_EQ(plan.pieces[1].tokens.end, 16 * 100);
}

TEST(SplitAttention, OfSeveralThreadsEqualsTheReference) {
  for (const Batch& batch : Batches()) {
    for (const int32_t workers : {1, 2, 3, 8}) {
      const PagedFixture fixture(PagedShape(), batch.lengths, batch.queries, kSeed);
      const AttentionQuery query = fixture.query();
      SplitAttention attention(fixture.kv(), query, PlanWork(fixture.kv(), query, workers));
      Result result(fixture);
      for (int layer = 0; layer < 2; ++layer) {  // The second finds the first one's states.
        std::vector<std::thread> threads;
        for (int32_t w = 0; w < workers; ++w) {
          threads.emplace_back([&, w] { attention.Attend(fixture.kv(), query, w); });
        }
        for (std::thread& thread : threads) thread.join();
        threads.clear();
        for (int32_t w = 0; w < workers; ++w) {
          threads.emplace_back([&, w] { attention.Finish(query, result.out(), w); });
        }
        for (std::thread& thread : threads) thread.join();
      }
      ExpectClose(result, Expected(fixture, fixture.kv(), query), ToleranceOf(Dtype::kF16),
                  std::to_string(workers) + " workers");
    }
  }
}

TEST(SplitAttention, WithAWindowEqualsTheReference) {
  const PagedFixture fixture(PagedShape(), {500, 90}, {3, 2}, kSeed);
  AttentionQuery query = fixture.query();
  query.mask.window_tokens = 100;
  query.mask.sink_tokens = 20;
  for (const int32_t workers : {1, 2, 5}) {
    SplitAttention attention(fixture.kv(), query, PlanWork(fixture.kv(), query, workers));
    Result result(fixture);
    for (int32_t w = 0; w < workers; ++w) attention.Attend(fixture.kv(), query, w);
    for (int32_t w = 0; w < workers; ++w) attention.Finish(query, result.out(), w);
    ExpectClose(result, Expected(fixture, fixture.kv(), query), ToleranceOf(Dtype::kF16),
                std::to_string(workers) + " workers");
  }
}

}  // namespace
}  // namespace kvpager::kernels
