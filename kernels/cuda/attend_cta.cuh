// kernels/cuda/attend_cta.cuh
//
// What one thread block of the attention kernel does: its worker's pieces one after the other, for
// one KV head. Split-KV attention as in Flash-Decoding (Dao et al., 2023) over pages as in
// FlashInfer (Ye et al., 2025): rows of all query heads of a group, and of several query tokens,
// share one pass over K and V.
//
//   grid   (workers of the plan, KV heads)
//   warps  warp w has query rows (w % row_warps) * kRows and on, and the tokens of each tile that
//          are those of w / row_warps
//
// The warps' states of the same rows become one at the end of a piece: merged as
// attention_state.h says, in base 2.

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_CTA_CUH_
#define KVPAGER_KERNELS_CUDA_ATTEND_CTA_CUH_

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cuda/attend_params.h"
#include "kernels/cuda/attend_rows.cuh"
#include "kernels/cuda/attend_tiles.cuh"
#include "kernels/cuda/thread.cuh"
#include "kernels/mask.h"

namespace kvpager::kernels {

// Writes one element of a result of a row, and its log-sum-exp with the first one.
KVPAGER_DEVICE void WriteResult(const AttentionOutput& output, int64_t row, int32_t head_dim_v,
                                int32_t column, float sum, float largest, float total) {
  constexpr float kLn2 = 0.6931471805599453f;
  const bool none = total == 0.0f;
  output.output[row * head_dim_v + column] = none ? 0.0f : sum / total;
  if (column == 0 && output.lse != nullptr) {
    output.lse[row] =
        none ? -std::numeric_limits<float>::infinity() : largest * kLn2 + std::log(total);
  }
}

template <typename Shape, typename Thread>
class AttendCta {
 public:
  // `shared`: Shape::kSharedBytes, aligned to 128.
  KVPAGER_DEVICE AttendCta(const Thread& thread, const AttendParams& params, uint8_t* shared)
      : thread_(thread),
        params_(params),
        shared_(shared),
        warp_(thread.warp()),
        tiles_(thread, params, shared) {}

  KVPAGER_DEVICE void Run() {
    tiles_.Init();
    const AttendPlanView& plan = params_.plan;
    const int32_t end = plan.worker_first[thread_.block_x() + 1];
    for (int32_t i = plan.worker_first[thread_.block_x()]; i < end; ++i) RunPiece(plan.pieces[i]);
  }

 private:
  static constexpr int kRows = Shape::kRows;

  KVPAGER_DEVICE int32_t row_warp() const { return warp_ % params_.row_warps; }
  KVPAGER_DEVICE int32_t token_warps() const { return Shape::kWarps / params_.row_warps; }
  KVPAGER_DEVICE Sight* sights() const {
    return reinterpret_cast<Sight*>(shared_ + Shape::kSightsAt);
  }
  KVPAGER_DEVICE float* states() const {
    return reinterpret_cast<float*>(shared_ + Shape::kStatesAt);
  }
  KVPAGER_DEVICE float* sums() const { return reinterpret_cast<float*>(shared_); }

  KVPAGER_DEVICE void RunPiece(const AttendPiece& piece) {
    const int32_t warp_tokens = Shape::kTokens / token_warps();
    auto* const weights =
        reinterpret_cast<float*>(shared_ + Shape::kWeightsAt) + warp_ * Shape::kTokens * kRows;
    AttendRows<Shape, Thread> rows(thread_, weights);
    LoadRows(piece, rows);
    LoadSights(piece);
    tiles_.Start(piece);
    const int32_t row = row_warp() * kRows + thread_.lane() % kRows;
    const Sight* const sight = row < piece.row_count ? sights() + row : nullptr;
    for (int32_t tile = 0; tile < tiles_.count(); ++tile) {
      tiles_.Wait(tile);
      thread_.Sync();
      tiles_.Next(tile);
      const auto ahead = tiles_.LookUpAhead(tile);
      const WarpTokens tokens = {warp_ / params_.row_warps * warp_tokens, warp_tokens,
                                 tiles_.TokensOf(tile), tiles_.positions(tile)};
      if (tokens.first < tokens.tile_end) {
        rows.Logits(thread_, tiles_.k(tile), tokens);
        thread_.SyncWarp();
        const bool whole = rows.Weigh(thread_, tokens, sight);
        thread_.SyncWarp();
        rows.Values(tiles_.v(tile), tokens, whole);
      }
      tiles_.StoreAhead(tile, ahead);
    }
    thread_.Sync();  // All are done with the stages.
    rows.Store(thread_, sums() + warp_ * kRows * Shape::kHeadDimV, states() + warp_ * kRows * 2);
    thread_.Sync();
    Write(piece);
    // The next piece's first Sync stands between this and the copies that it asks for.
    thread_.FenceBeforeBulkCopies();
  }

  KVPAGER_DEVICE void LoadRows(const AttendPiece& piece, AttendRows<Shape, Thread>& rows) const {
    const AttentionQuery& query = params_.query;
    KVPAGER_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const int32_t row = row_warp() * kRows + i;
      const float* source = nullptr;
      if (row < piece.row_count) {
        source = query.query + QueryRow(params_.kv, query, piece.entry, thread_.block_y(),
                                        piece.row_first + row) *
                                   Shape::kHeadDimK;
      }
      rows.LoadRow(i, source, query.scale);
    }
  }

  // The first Sync of AttendTiles lets all threads see them.
  KVPAGER_DEVICE void LoadSights(const AttendPiece& piece) const {
    const int32_t row = thread_.index();
    if (row >= piece.row_count) return;
    const int32_t ratio = params_.query.query_heads / params_.kv.kv_heads;
    sights()[row] =
        SightOf(params_.kv, params_.query, piece.entry, (piece.row_first + row) / ratio);
  }

  // Merges the states of the warps that had the same rows, one element per thread at a time.
  KVPAGER_DEVICE void Write(const AttendPiece& piece) const {
    for (int32_t i = thread_.index(); i < piece.row_count * Shape::kHeadDimV;
         i += Shape::kThreads) {
      const int32_t row = i / Shape::kHeadDimV;
      const int32_t column = i % Shape::kHeadDimV;
      float largest = -std::numeric_limits<float>::infinity();
      for (int32_t part = 0; part < token_warps(); ++part) {
        const float other = states()[2 * StateOf(part, row)];
        largest = other > largest ? other : largest;
      }
      float sum = 0;
      float total = 0;
      for (int32_t part = 0; part < token_warps(); ++part) {
        const int32_t state = StateOf(part, row);
        if (states()[2 * state + 1] == 0.0f) continue;  // Saw nothing: m is -infinity.
        const float factor = Exp2(states()[2 * state] - largest);
        sum += factor * sums()[state * Shape::kHeadDimV + column];
        total += factor * states()[2 * state + 1];
      }
      WriteElement(piece, row, column, sum, largest, total);
    }
  }
  KVPAGER_DEVICE int32_t StateOf(int32_t part, int32_t row) const {
    return (part * params_.row_warps + row / kRows) * kRows + row % kRows;
  }

  KVPAGER_DEVICE void WriteElement(const AttendPiece& piece, int32_t row, int32_t column, float sum,
                                   float largest, float total) const {
    if (piece.part < 0) {
      const int64_t target = QueryRow(params_.kv, params_.query, piece.entry, thread_.block_y(),
                                      piece.row_first + row);
      WriteResult(params_.output, target, Shape::kHeadDimV, column, sum, largest, total);
      return;
    }
    const AttendWorkspace& workspace = params_.workspace;
    const int64_t target =
        PartRow(workspace, params_.kv.kv_heads, piece.part, thread_.block_y(), row);
    workspace.sums[target * Shape::kHeadDimV + column] = sum;
    if (column == 0) {
      workspace.weights[2 * target] = largest;
      workspace.weights[2 * target + 1] = total;
    }
  }

  const Thread& thread_;
  const AttendParams& params_;
  uint8_t* shared_;
  int32_t warp_;
  AttendTiles<Shape, Thread> tiles_;
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_CTA_CUH_
