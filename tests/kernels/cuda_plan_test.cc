// Proves that a plan hands out every token tile of every row tile exactly once, evenly, within the
// memory that it has said it needs, and refuses what it was not made for.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/cuda/append_cta.cuh"
#include "kernels/cuda/attend_plan.h"
#include "kernels/mask.h"
#include "tests/kernels/cuda_cases.h"
#include "tests/kernels/cuda_plan_shape.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {
namespace {

using testing::HasSubstr;

// Every row and every tile of it once, in order; parts numbered through; shares that are even.
void ExpectPlanIsWhole(const PagedKv& kv, const AttentionQuery& query, int32_t workers) {
  const AttendPlanShape shape = PlanShapeOf(kv, query, workers);
  AttendPlan plan(shape);
  ASSERT_TRUE(plan.Update(kv, query).ok());
  const AttendPlanView view = plan.ViewAt(plan.data());
  ASSERT_EQ(view.worker_first[0], 0);
  const int32_t pieces = view.worker_first[workers];
  const auto* const end = reinterpret_cast<const AttendPiece*>(view.merges);
  ASSERT_LE(view.pieces + pieces, end);
  const int32_t ratio = query.query_heads / kv.kv_heads;
  int32_t piece = 0;
  int32_t part = 0;
  int32_t merge = 0;
  for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
    const int32_t rows = QueryCount(query, entry) * ratio;
    for (int32_t row = 0; row < rows; row += plan.launch().rows) {
      AttendPiece whole;
      whole.entry = entry;
      whole.row_first = row;
      whole.row_count = std::min(plan.launch().rows, rows - row);
      const int32_t tiles =
          TileCount(SeenTokensOf(kv, query, whole), plan.launch().numbers.tile_tokens);
      const int32_t first = piece;
      int32_t tile = 0;
      do {
        ASSERT_LT(piece, pieces);
        const AttendPiece& one = view.pieces[piece++];
        ASSERT_EQ(one.entry, entry);
        ASSERT_EQ(one.row_first, row);
        ASSERT_EQ(one.row_count, whole.row_count);
        ASSERT_EQ(one.tile_first, tile);
        ASSERT_TRUE(one.tile_end > tile || tiles == 0);
        tile = one.tile_end;
      } while (tile < tiles);
      ASSERT_EQ(tile, tiles);
      if (piece - first == 1) {
        ASSERT_EQ(view.pieces[first].part, -1);
        continue;
      }
      ASSERT_LT(merge, plan.merges_max());
      const AttendMerge& merged = view.merges[merge++];
      ASSERT_EQ(merged.entry, entry);
      ASSERT_EQ(merged.row_first, row);
      ASSERT_EQ(merged.row_count, whole.row_count);
      ASSERT_EQ(merged.part_first, part);
      ASSERT_EQ(merged.part_count, piece - first);
      for (int32_t i = first; i < piece; ++i) ASSERT_EQ(view.pieces[i].part, part++);
    }
  }
  ASSERT_EQ(piece, pieces);
  ASSERT_LE(part, 2 * workers);
  const size_t state = (static_cast<size_t>(kv.head_dim_v) + 2) * sizeof(float);
  ASSERT_LE(static_cast<size_t>(part * kv.kv_heads * plan.launch().rows) * state,
            plan.workspace_bytes());
  for (; merge < plan.merges_max(); ++merge) ASSERT_EQ(view.merges[merge].row_count, 0);
}

TEST(AttendPlan, HandsOutEveryTileOnce) {
  const CudaCase run = [](const PagedFixture& fixture, const AttentionQuery& query,
                          const std::string& what) {
    SCOPED_TRACE(what);
    for (const int32_t workers : {1, 2, 3, 7, 100}) {
      ExpectPlanIsWhole(fixture.kv(), query, workers);
    }
  };
  EachDecode(Dtype::kF16, run);
  EachLatent(Dtype::kBf16, run);
  EachLength(run);
  EachChunk(run);
  EachWindow(run);
  EachTree(run);
  PartOfASequence(run);
  RowsThatSeeNothing(run);
  for (uint64_t seed = 1; seed <= 50; ++seed) AnyOf(seed, run);
}

TEST(AttendPlan, GivesEveryWorkerItsShareOfOneLongSequence) {
  const PagedFixture fixture(PagedShape(), {6400}, 1);  // 100 tiles of 64.
  for (const int32_t workers : {2, 3, 7, 16}) {
    AttendPlan plan(PlanShapeOf(fixture.kv(), fixture.query(), workers));
    ASSERT_TRUE(plan.Update(fixture.kv(), fixture.query()).ok());
    const AttendPlanView view = plan.ViewAt(plan.data());
    ASSERT_EQ(plan.launch().numbers.tile_tokens, 64);
    const int32_t share = (100 + workers - 1) / workers;
    for (int32_t worker = 0; worker < workers; ++worker) {
      const int32_t first = view.worker_first[worker];
      if (first == view.worker_first[worker + 1]) continue;
      ASSERT_EQ(view.worker_first[worker + 1] - first, 1);
      EXPECT_LE(view.pieces[first].tile_end - view.pieces[first].tile_first, share);
    }
  }
}

// No row sees a token that no tile of its row tile has; tiles are cut where they say.
TEST(AttendPlan, TilesHoldEveryTokenThatIsSeen) {
  const CudaCase run = [](const PagedFixture& fixture, const AttentionQuery& query,
                          const std::string& what) {
    SCOPED_TRACE(what);
    const PagedKv& kv = fixture.kv();
    for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
      for (int32_t token = 0; token < QueryCount(query, entry); ++token) {
        AttendPiece row;
        row.entry = entry;
        row.row_first = token * (query.query_heads / kv.kv_heads);
        row.row_count = 1;
        const SeenTokens seen = SeenTokensOf(kv, query, row);
        std::vector<bool> in_tile(static_cast<size_t>(TokenCount(kv, entry)));
        for (int32_t tile = 0; tile < TileCount(seen, 16); ++tile) {
          const TokenRange range = TileAt(seen, 16, tile);
          ASSERT_LT(range.first, range.end);
          ASSERT_LE(range.end - range.first, 16);
          for (int64_t i = range.first; i < range.end; ++i) {
            ASSERT_FALSE(in_tile.at(static_cast<size_t>(i)));
            in_tile[static_cast<size_t>(i)] = true;
          }
        }
        const Sight sight = SightOf(kv, query, entry, token);
        for (size_t i = 0; i < in_tile.size(); ++i) {
          const auto at = static_cast<int64_t>(i);
          const int64_t position =
              PagePosition(kv, entry, at / kv.page_tokens) + at % kv.page_tokens;
          ASSERT_TRUE(in_tile[i] || !Sees(sight, position)) << "token " << i;
        }
      }
    }
  };
  EachChunk(run);
  EachWindow(run);
  EachTree(run);
  PartOfASequence(run);
  RowsThatSeeNothing(run);
  for (uint64_t seed = 1; seed <= 50; ++seed) AnyOf(seed, run);
}

TEST(AttendPlan, AWindowLeavesOutWhatLiesBetweenItAndTheSinks) {
  const PagedFixture fixture(PagedShape(), {1600}, 1);
  AttentionQuery query = fixture.query();
  query.mask.window_tokens = 100;
  query.mask.sink_tokens = 10;
  AttendPiece row;
  row.row_count = 1;
  const SeenTokens seen = SeenTokensOf(fixture.kv(), query, row);
  EXPECT_EQ(seen.sink_end, 10);
  EXPECT_EQ(seen.window_first, 1500);
  EXPECT_EQ(seen.end, 1600);
  EXPECT_EQ(TileCount(seen, 64), 1 + 2);
}

TEST(AttendPlan, SaysWhatToChange) {
  const PagedFixture fixture(PagedShape(), {100, 20}, 1);
  const AttendPlanShape good = PlanShapeOf(fixture.kv(), fixture.query(), 2);
  EXPECT_TRUE(AttendPlan::Check(good).ok());
  AttendPlanShape shape = good;
  shape.query_heads = 3;
  EXPECT_THAT(AttendPlan::Check(shape).text, HasSubstr("multiple of kv_heads"));
  shape = good;
  shape.head_dim_v = 128;
  EXPECT_THAT(AttendPlan::Check(shape).text, HasSubstr("head dimensions"));
  shape = good;
  shape.workers = 0;
  EXPECT_THAT(AttendPlan::Check(shape).text, HasSubstr("at least 1"));
  shape = good;
  shape.head_dim_k = 576;
  shape.head_dim_v = 512;
  EXPECT_THAT(AttendPlan::Check(shape).text, HasSubstr("one KV head"));

  shape = good;
  shape.batch_max = 1;
  EXPECT_THAT(AttendPlan(shape).Update(fixture.kv(), fixture.query()).text, HasSubstr("batch_max"));
  shape = good;
  shape.query_tokens_max = 1;
  EXPECT_THAT(AttendPlan(shape).Update(fixture.kv(), fixture.query()).text,
              HasSubstr("query_tokens_max"));
  shape = good;
  shape.dtype = Dtype::kF32;
  EXPECT_THAT(AttendPlan(shape).Update(fixture.kv(), fixture.query()).text,
              HasSubstr("plan of its own"));
  PagedKv huge = fixture.kv();
  huge.page_tokens = 1 << 30;  // 7 pages.
  EXPECT_THAT(AttendPlan(good).Update(huge, fixture.query()).text, HasSubstr("in parts"));
}

TEST(AttendPlan, ARefusedBatchLeavesThePlanAsItWas) {
  const PagedFixture small(PagedShape(), {100}, 1);
  const PagedFixture large(PagedShape(), {100, 20}, 1);
  AttendPlan plan(PlanShapeOf(small.kv(), small.query(), 2));
  ASSERT_TRUE(plan.Update(small.kv(), small.query()).ok());
  const auto* const bytes = static_cast<const uint8_t*>(plan.data());
  const std::vector<uint8_t> before(bytes, bytes + plan.size_bytes());
  ASSERT_FALSE(plan.Update(large.kv(), large.query()).ok());
  EXPECT_EQ(std::vector<uint8_t>(bytes, bytes + plan.size_bytes()), before);
}

TEST(AppendPlan, AnEntryIsFoundByItsTokens) {
  const std::vector<int32_t> indptr = {0, 0, 3, 3, 3, 4, 9, 9};
  for (int32_t token = 0; token < 9; ++token) {
    const int32_t entry = EntryOfToken(indptr.data(), 7, token);
    EXPECT_LE(indptr[static_cast<size_t>(entry)], token);
    EXPECT_GT(indptr[static_cast<size_t>(entry) + 1], token);
  }
  EXPECT_EQ(EntryOfToken(nullptr, 7, 5), 5);
}

}  // namespace
}  // namespace kvpager::kernels
