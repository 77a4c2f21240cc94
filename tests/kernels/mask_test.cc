// Proves that the answers for a run of positions follow from those for each, and that the edges of
// windows, sinks and drafts are where attention.h says.

#include "kernels/mask.h"

#include <gtest/gtest.h>

namespace kvpager::kernels {
namespace {

TEST(Mask, RunsAgreeWithTheirPositions) {
  const uint64_t drafts = 0b1011;
  for (const int64_t window_first : {0, 3, 9}) {
    for (const int64_t sink_end : {0, 2, 4}) {
      const Sight sight = {sink_end, window_first, 12, &drafts, 64};
      for (int64_t first = 0; first < 20; ++first) {
        for (int64_t end = first + 1; end <= 20; ++end) {
          int64_t seen = 0;
          for (int64_t position = first; position < end; ++position) seen += Sees(sight, position);
          if (SeesAll(sight, first, end)) {
            EXPECT_EQ(seen, end - first);
          }
          if (SeesNone(sight, first, end)) {
            EXPECT_EQ(seen, 0);
          }
        }
      }
      EXPECT_TRUE(SeesAll(sight, 10, 12));
      EXPECT_TRUE(SeesNone(sight, 12 + 64, 12 + 70));
      EXPECT_TRUE(Sees(sight, 12));
      EXPECT_FALSE(Sees(sight, 14));
      EXPECT_TRUE(Sees(sight, 15));
    }
  }
}

TEST(Mask, AWindowCountsTheQueryItself) {
  const int32_t indptr[] = {0, 2};
  const int32_t last[] = {4};
  PagedKv kv;
  kv.page_tokens = 16;
  kv.indptr = indptr;
  kv.last_page_len = last;
  AttentionQuery query;
  query.mask.window_tokens = 3;
  query.mask.sink_tokens = 1;
  const Sight sight = SightOf(kv, query, 0, 0);  // At position 19.
  EXPECT_TRUE(Sees(sight, 19));
  EXPECT_TRUE(Sees(sight, 17));
  EXPECT_FALSE(Sees(sight, 16));
  EXPECT_FALSE(Sees(sight, 1));
  EXPECT_TRUE(Sees(sight, 0));
  EXPECT_FALSE(Sees(sight, 20));
}

}  // namespace
}  // namespace kvpager::kernels
