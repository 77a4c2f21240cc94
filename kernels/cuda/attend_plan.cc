#include "kernels/cuda/attend_plan.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/mask.h"

namespace kvpager::kernels {
namespace {

// Fewer tiles than this are not worth a block, and a merge, of their own.
constexpr int64_t kTilesOfWorkerMin = 4;

// How many tokens of the entry's pages stand before `position` in the sequence.
int64_t TokensBefore(const PagedKv& kv, int32_t entry, int64_t position) {
  int64_t low = 0;
  int64_t high = kv.indptr[entry + 1] - kv.indptr[entry];
  while (low < high) {  // Pages that end at `position` or before.
    const int64_t middle = low + (high - low) / 2;
    if (PagePosition(kv, entry, middle) + kv.page_tokens <= position) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const int64_t tokens = TokenCount(kv, entry);
  if (low * kv.page_tokens >= tokens) return tokens;
  const int64_t in_page = std::max<int64_t>(0, position - PagePosition(kv, entry, low));
  return std::min(tokens, low * kv.page_tokens + in_page);
}

template <Dtype kType>
AttendNumbers NumbersFor(int32_t head_dim_k, int32_t head_dim_v, int32_t warp_rows) {
  const bool few = warp_rows == 4;
  if (head_dim_k == 576 && head_dim_v == 512 && few) {
    return AttendShape<kType, 576, 512, 4>::kNumbers;
  }
  if (head_dim_k != head_dim_v || (!few && warp_rows != 8)) return {};
  switch (head_dim_k) {
    case 64:
      return few ? AttendShape<kType, 64, 64, 4>::kNumbers
                 : AttendShape<kType, 64, 64, 8>::kNumbers;
    case 96:
      return few ? AttendShape<kType, 96, 96, 4>::kNumbers
                 : AttendShape<kType, 96, 96, 8>::kNumbers;
    case 128:
      return few ? AttendShape<kType, 128, 128, 4>::kNumbers
                 : AttendShape<kType, 128, 128, 8>::kNumbers;
    case 256:
      return few ? AttendShape<kType, 256, 256, 4>::kNumbers
                 : AttendShape<kType, 256, 256, 8>::kNumbers;
    default:
      return {};
  }
}

// As few rows per warp as hold an entry's, and as many warps as then are needed.
AttendLaunch LaunchOf(const AttendPlanShape& shape) {
  const int64_t rows = int64_t{shape.entry_query_tokens_max} * (shape.query_heads / shape.kv_heads);
  const bool few = rows <= 4 || shape.head_dim_k != shape.head_dim_v;
  AttendLaunch launch;
  launch.numbers = AttendNumbersOf(shape.dtype, shape.head_dim_k, shape.head_dim_v, few ? 4 : 8);
  if (launch.numbers.warps == 0) return launch;
  const int64_t warps =
      std::min<int64_t>(CeilDivide(rows, launch.numbers.warp_rows), launch.numbers.warps);
  launch.row_warps = static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(warps)));
  launch.rows = launch.row_warps * launch.numbers.warp_rows;
  return launch;
}

}  // namespace

AttendNumbers AttendNumbersOf(Dtype dtype, int32_t head_dim_k, int32_t head_dim_v,
                              int32_t warp_rows) {
  switch (dtype) {
    case Dtype::kF16:
      return NumbersFor<Dtype::kF16>(head_dim_k, head_dim_v, warp_rows);
    case Dtype::kBf16:
      return NumbersFor<Dtype::kBf16>(head_dim_k, head_dim_v, warp_rows);
    case Dtype::kF32:
      return NumbersFor<Dtype::kF32>(head_dim_k, head_dim_v, warp_rows);
    case Dtype::kF8E4m3:
      return NumbersFor<Dtype::kF8E4m3>(head_dim_k, head_dim_v, warp_rows);
  }
  return {};
}

SeenTokens SeenTokensOf(const PagedKv& kv, const AttentionQuery& query, const AttendPiece& rows) {
  const int32_t ratio = query.query_heads / kv.kv_heads;
  int64_t sink_end = 0;
  int64_t window_first = std::numeric_limits<int64_t>::max();
  int64_t end = 0;
  const int32_t last = (rows.row_first + rows.row_count - 1) / ratio;
  for (int32_t token = rows.row_first / ratio; token <= last; ++token) {
    const Sight sight = SightOf(kv, query, rows.entry, token);
    sink_end = std::max(sink_end, sight.sink_end);
    window_first = std::min(window_first, sight.window_first);
    end = std::max(end, sight.context_end + sight.draft_tokens);
  }
  SeenTokens seen;
  seen.end = TokensBefore(kv, rows.entry, end);
  seen.window_first = std::min(seen.end, TokensBefore(kv, rows.entry, window_first));
  seen.sink_end = std::min(seen.window_first, TokensBefore(kv, rows.entry, sink_end));
  return seen;
}

CudaStatus AttendPlan::Check(const AttendPlanShape& shape) {
  if (shape.kv_heads <= 0 || shape.query_heads <= 0 || shape.query_heads % shape.kv_heads != 0) {
    return {"make query_heads a multiple of kv_heads, both above 0"};
  }
  if (shape.batch_max <= 0 || shape.query_tokens_max <= 0 || shape.entry_query_tokens_max <= 0 ||
      shape.workers <= 0) {
    return {"make batch_max, query_tokens_max, entry_query_tokens_max and workers at least 1"};
  }
  if (LaunchOf(shape).numbers.warps == 0) {
    return {"use head dimensions 64, 96, 128 or 256, the same for K and V, or 576 and 512"};
  }
  if (shape.head_dim_k != shape.head_dim_v && shape.kv_heads != 1) {
    return {"use one KV head with latent rows of 576 and 512"};
  }
  return {};
}

AttendPlan::AttendPlan(const AttendPlanShape& shape) : shape_(shape), launch_(LaunchOf(shape)) {
  const size_t bytes = static_cast<size_t>(pieces_max()) * sizeof(AttendPiece) +
                       static_cast<size_t>(merges_max()) * sizeof(AttendMerge) +
                       static_cast<size_t>(shape.workers + 1) * sizeof(int32_t);
  bytes_.resize((bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t));
}

int64_t AttendPlan::pieces_max() const {
  const int64_t rows = int64_t{shape_.query_tokens_max} * (shape_.query_heads / shape_.kv_heads);
  return rows / launch_.rows + shape_.batch_max + shape_.workers;
}

size_t AttendPlan::workspace_bytes() const {
  const int64_t rows = parts_max() * shape_.kv_heads * launch_.rows;
  return static_cast<size_t>(rows * (shape_.head_dim_v + 2)) * sizeof(float);
}

AttendPlanView AttendPlan::ViewAt(const void* data) const {
  AttendPlanView view;
  view.pieces = static_cast<const AttendPiece*>(data);
  view.merges = reinterpret_cast<const AttendMerge*>(view.pieces + pieces_max());
  view.worker_first = reinterpret_cast<const int32_t*>(view.merges + merges_max());
  return view;
}

AttendWorkspace AttendPlan::WorkspaceAt(void* data) const {
  AttendWorkspace workspace;
  workspace.sums = static_cast<float*>(data);
  workspace.weights =
      workspace.sums + parts_max() * shape_.kv_heads * launch_.rows * shape_.head_dim_v;
  workspace.rows = launch_.rows;
  return workspace;
}

// Where the next tile goes.
struct AttendPlan::Cut {
  AttendPiece* pieces = nullptr;
  AttendMerge* merges = nullptr;
  int32_t* worker_first = nullptr;
  int64_t share = 0;  // Tiles of a worker.
  int64_t taken = 0;  // Of the current one.
  int32_t worker = 0;
  int32_t piece = 0;
  int32_t part = 0;
  int32_t merge = 0;
};

void AttendPlan::AddRowTile(const AttendPiece& whole, Cut& cut) {
  const int32_t piece_first = cut.piece;
  int32_t tile = 0;
  do {
    if (cut.taken >= cut.share && cut.worker + 1 < shape_.workers) {
      cut.worker_first[++cut.worker] = cut.piece;
      cut.taken = 0;
    }
    AttendPiece& piece = cut.pieces[cut.piece++] = whole;
    const int64_t room = cut.worker + 1 < shape_.workers ? cut.share - cut.taken : whole.tile_end;
    piece.tile_first = tile;
    piece.tile_end = static_cast<int32_t>(std::min<int64_t>(whole.tile_end, tile + room));
    tile = piece.tile_end;
    cut.taken += std::max(1, piece.tile_end - piece.tile_first);
  } while (tile < whole.tile_end);
  if (cut.piece - piece_first == 1) return;
  cut.merges[cut.merge++] = {whole.entry, whole.row_first, whole.row_count, cut.part,
                             cut.piece - piece_first};
  for (int32_t i = piece_first; i < cut.piece; ++i) cut.pieces[i].part = cut.part++;
}

CudaStatus AttendPlan::CheckBatch(const PagedKv& kv, const AttentionQuery& query) const {
  if (kv.dtype != shape_.dtype || kv.kv_heads != shape_.kv_heads ||
      query.query_heads != shape_.query_heads || kv.head_dim_k != shape_.head_dim_k ||
      kv.head_dim_v != shape_.head_dim_v) {
    return {"make a plan of its own for this type, these heads and head dimensions"};
  }
  if (kv.batch_size > shape_.batch_max) return {"raise batch_max of the plan, or cut the batch"};
  int64_t query_tokens = 0;
  for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
    if (TokenCount(kv, entry) > std::numeric_limits<int32_t>::max()) {
      return {"attend sequences of 2^31 tokens and more in parts, and merge the results"};
    }
    query_tokens += QueryCount(query, entry);
  }
  if (query_tokens > shape_.query_tokens_max) {
    return {"raise query_tokens_max of the plan, or cut the batch"};
  }
  return {};
}

CudaStatus AttendPlan::Update(const PagedKv& kv, const AttentionQuery& query) {
  const CudaStatus status = CheckBatch(kv, query);
  if (!status.ok()) return status;
  const AttendPlanView view = ViewAt(bytes_.data());
  Cut cut;
  cut.pieces = const_cast<AttendPiece*>(view.pieces);
  cut.merges = const_cast<AttendMerge*>(view.merges);
  cut.worker_first = const_cast<int32_t*>(view.worker_first);
  const int32_t ratio = query.query_heads / kv.kv_heads;
  const auto each_row_tile = [&](const auto& call) {
    for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
      const int32_t rows = QueryCount(query, entry) * ratio;
      for (int32_t row = 0; row < rows; row += launch_.rows) {
        AttendPiece whole;
        whole.entry = entry;
        whole.row_first = row;
        whole.row_count = std::min(launch_.rows, rows - row);
        whole.seen = SeenTokensOf(kv, query, whole);
        whole.tile_end = TileCount(whole.seen, launch_.numbers.tile_tokens);
        call(whole);
      }
    }
  };
  int64_t tiles = 0;
  each_row_tile([&](const AttendPiece& whole) { tiles += std::max(1, whole.tile_end); });
  cut.share = std::max(kTilesOfWorkerMin, CeilDivide(tiles, shape_.workers));
  cut.worker_first[0] = 0;
  each_row_tile([&](const AttendPiece& whole) { AddRowTile(whole, cut); });
  while (cut.worker < shape_.workers) cut.worker_first[++cut.worker] = cut.piece;
  std::fill(cut.merges + cut.merge, cut.merges + merges_max(), AttendMerge());
  return {};
}

}  // namespace kvpager::kernels
