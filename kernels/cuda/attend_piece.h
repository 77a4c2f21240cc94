// kernels/cuda/attend_piece.h
//
// What a plan hands to the blocks of the attention kernel, and the arithmetic on it that host and
// device share.
//
//   rows    of one entry and one KV head: query token * ratio + query head of the group
//           [ row tile 0 ][ row tile 1 ][ ..                     a block takes one tile at a time
//   tokens  of the entry that a row tile sees:
//           [0, sink_end) and [window_first, end), cut into tiles
//           |t0 |t1|        |t2 |t3 |t4 |t5|
//   piece   a row tile and some of its token tiles in a row
//
// A row tile whose token tiles are all in one piece is written as a result; otherwise each of its
// pieces is a part, left in the workspace, and the merge kernel makes the result of them.
//
// Units: rows; tokens counted over an entry's pages. Thread-safety: plain values. Errors: none.

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_PIECE_H_
#define KVPAGER_KERNELS_CUDA_ATTEND_PIECE_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

struct SeenTokens {
  int64_t sink_end = 0;
  int64_t window_first = 0;  // Not before sink_end.
  int64_t end = 0;
};

struct AttendPiece {
  int32_t entry = 0;
  int32_t row_first = 0;
  int32_t row_count = 0;
  int32_t part = -1;  // Where in the workspace; -1: this is the result.
  int32_t tile_first = 0;
  int32_t tile_end = 0;
  SeenTokens seen;  // Of the row tile.
};

// A row tile that came in parts.
struct AttendMerge {
  int32_t entry = 0;
  int32_t row_first = 0;
  int32_t row_count = 0;  // 0: nothing to merge.
  int32_t part_first = 0;
  int32_t part_count = 0;
};

// Where a plan lies, on the host or on the device.
struct AttendPlanView {
  const int32_t* worker_first = nullptr;  // [workers + 1]
  const AttendMerge* merges = nullptr;    // [merges_max]
  const AttendPiece* pieces = nullptr;    // [worker_first[workers]]
};

// Parts of a plan: floats that the caller gives.
//   sums     [part][KV head][row][head_dim_v]   o of attention_state.h
//   weights  [part][KV head][row][2]            m (base 2) and d
struct AttendWorkspace {
  float* sums = nullptr;
  float* weights = nullptr;
  int32_t rows = 0;  // Of a row tile.
};

constexpr int64_t CeilDivide(int64_t value, int64_t by) { return (value + by - 1) / by; }

constexpr int32_t TileCount(const SeenTokens& seen, int32_t tile_tokens) {
  return static_cast<int32_t>(CeilDivide(seen.sink_end, tile_tokens) +
                              CeilDivide(seen.end - seen.window_first, tile_tokens));
}

constexpr TokenRange TileAt(const SeenTokens& seen, int32_t tile_tokens, int32_t tile) {
  const auto sink_tiles = static_cast<int32_t>(CeilDivide(seen.sink_end, tile_tokens));
  const bool sinks = tile < sink_tiles;
  const int64_t first = sinks ? int64_t{tile} * tile_tokens
                              : seen.window_first + int64_t{tile - sink_tiles} * tile_tokens;
  const int64_t limit = sinks ? seen.sink_end : seen.end;
  return {first, first + tile_tokens < limit ? first + tile_tokens : limit};
}

// Index of a row's state in the workspace.
constexpr int64_t PartRow(const AttendWorkspace& workspace, int32_t kv_heads, int32_t part,
                          int32_t kv_head, int32_t row) {
  return (int64_t{part} * kv_heads + kv_head) * workspace.rows + row;
}

// Index in [query tokens of the batch, query heads] of an entry's row.
constexpr int64_t QueryRow(const PagedKv& kv, const AttentionQuery& query, int32_t entry,
                           int32_t kv_head, int32_t row) {
  const int32_t ratio = query.query_heads / kv.kv_heads;
  return int64_t{FirstQuery(query, entry) + row / ratio} * query.query_heads + kv_head * ratio +
         row % ratio;
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_PIECE_H_
