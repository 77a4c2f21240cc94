// kernels/cuda/attend_tiles.cuh
//
// Brings the K and V rows of a piece's tiles into shared memory, several tiles ahead of the one
// that is attended:
//
//   places    page frame and row in it of each token: two tiles of them, and each is looked up one
//             tile before its rows are asked for, so that nobody waits for a page index
//   stages    the rows themselves: cp.async by all threads, or one cp.async.bulk per row by one
//             warp, announced to the stage's mbarrier
//   positions where in its sequence each token is, for masks
//
// Order, of all threads of a block:  Start, then per tile Wait, Sync (the block's), Next, attend,
// PlacesAhead. One Sync per tile is all there is: it says that the tile has come for all threads,
// and that all are done with the tile before, whose stage Next fills again.

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_TILES_CUH_
#define KVPAGER_KERNELS_CUDA_ATTEND_TILES_CUH_

#include <cstdint>

#include "kernels/cuda/attend_params.h"
#include "kernels/cuda/attend_piece.h"
#include "kernels/cuda/thread.cuh"

namespace kvpager::kernels {

template <typename Shape, typename Thread>
class AttendTiles {
 public:
  KVPAGER_DEVICE AttendTiles(const Thread& thread, const AttendParams& params, uint8_t* shared)
      : thread_(thread),
        params_(params),
        shared_(shared),
        places_(reinterpret_cast<Place*>(shared + Shape::kPlacesAt)),
        positions_(reinterpret_cast<int64_t*>(shared + Shape::kPositionsAt)),
        barriers_(reinterpret_cast<uint64_t*>(shared + Shape::kBarriersAt)) {}

  // Once per block, before the first piece.
  KVPAGER_DEVICE void Init() {
    if (bulk() && thread_.index() == 0) {
      for (int stage = 0; stage < Shape::kStages; ++stage) thread_.BarrierInit(&barriers_[stage]);
    }
    thread_.Sync();
  }

  KVPAGER_DEVICE void Start(const AttendPiece& piece) {
    piece_ = piece;
    base_ += count_;
    count_ = piece.tile_end - piece.tile_first;
    for (int32_t tile = 0; tile < Shape::kStages - 1; ++tile) {
      StorePlace(tile, LookUp(tile));
      thread_.Sync();
      Fetch(tile);
    }
    StorePlace(Shape::kStages - 1, LookUp(Shape::kStages - 1));
  }

  KVPAGER_DEVICE void Wait(int32_t tile) {
    if (bulk()) {
      const auto use = static_cast<uint32_t>(base_ + tile);
      thread_.BarrierWait(&barriers_[use % Shape::kStages], use / Shape::kStages % 2);
    } else {
      thread_.template CopyWait<Shape::kStages - 2>();
    }
  }

  KVPAGER_DEVICE void Next(int32_t tile) { Fetch(tile + Shape::kStages - 1); }

  struct Place {
    int32_t frame;
    int32_t row;
  };
  struct Found {
    Place place;
    int64_t position;
  };
  // In two halves, around whatever hides the time that a look takes.
  KVPAGER_DEVICE Found LookUpAhead(int32_t tile) const { return LookUp(tile + Shape::kStages); }
  KVPAGER_DEVICE void StoreAhead(int32_t tile, const Found& found) {
    StorePlace(tile + Shape::kStages, found);
  }

  KVPAGER_DEVICE int32_t count() const { return count_; }
  KVPAGER_DEVICE int32_t TokensOf(int32_t tile) const {
    if (tile >= count_) return 0;
    const TokenRange range = TileAt(piece_.seen, Shape::kTokens, piece_.tile_first + tile);
    return static_cast<int32_t>(range.end - range.first);
  }
  KVPAGER_DEVICE const uint8_t* k(int32_t tile) const { return Stage(tile); }
  KVPAGER_DEVICE const uint8_t* v(int32_t tile) const {
    return Shape::kShared ? Stage(tile) : Stage(tile) + Shape::kTokens * Shape::kRowBytesK;
  }
  KVPAGER_DEVICE const int64_t* positions(int32_t tile) const {
    return positions_ + tile % (Shape::kStages + 1) * Shape::kTokens;
  }

 private:
  KVPAGER_DEVICE bool bulk() const { return Thread::kHasBulkCopies && params_.bulk; }
  KVPAGER_DEVICE uint8_t* Stage(int32_t tile) const {
    return shared_ + (base_ + tile) % Shape::kStages * Shape::kStageBytes;
  }

  // One token per thread; threads beyond the tile's tokens look at nothing.
  KVPAGER_DEVICE Found LookUp(int32_t tile) const {
    Found found = {{0, 0}, 0};
    if (thread_.index() >= TokensOf(tile)) return found;
    const PagedKv& kv = params_.kv;
    const TokenRange range = TileAt(piece_.seen, Shape::kTokens, piece_.tile_first + tile);
    // A plan refuses entries of 2^31 tokens, so that a short division is enough.
    const auto token = static_cast<uint32_t>(range.first + thread_.index());
    const uint32_t page = token / static_cast<uint32_t>(kv.page_tokens);
    found.place.row = static_cast<int32_t>(token - page * static_cast<uint32_t>(kv.page_tokens));
    found.place.frame = kv.indices[kv.indptr[piece_.entry] + page];
    found.position = PagePosition(kv, piece_.entry, page) + found.place.row;
    return found;
  }
  KVPAGER_DEVICE void StorePlace(int32_t tile, const Found& found) {
    if (thread_.index() >= TokensOf(tile)) return;
    places_[tile % 2 * Shape::kTokens + thread_.index()] = found.place;
    positions_[tile % (Shape::kStages + 1) * Shape::kTokens + thread_.index()] = found.position;
  }

  KVPAGER_DEVICE const uint8_t* RowOf(const void* data, const PageStrides& strides,
                                      const Place& place) const {
    const int64_t row =
        place.frame * strides.page + place.row * strides.token + thread_.block_y() * strides.head;
    return static_cast<const uint8_t*>(data) + row * Shape::kBytes;
  }

  KVPAGER_DEVICE void Fetch(int32_t tile) {
    if (bulk()) {
      if (thread_.warp() == 0) FetchBulk(tile);
      return;
    }
    const Place* const places = places_ + tile % 2 * Shape::kTokens;
    const int32_t tokens = TokensOf(tile);
    uint8_t* const stage = Stage(tile);
    CopyRows<Shape::kRowBytesK>(params_.kv.k_data, params_.kv.k, places, tokens, stage);
    if constexpr (!Shape::kShared) {
      CopyRows<Shape::kRowBytesV>(params_.kv.v_data, params_.kv.v, places, tokens,
                                  stage + Shape::kTokens * Shape::kRowBytesK);
    }
    thread_.CopyCommit();  // Also where nothing was copied: CopyWait counts.
  }
  template <int kRowBytes>
  KVPAGER_DEVICE void CopyRows(const void* data, const PageStrides& strides, const Place* places,
                               int32_t tokens, uint8_t* target) {
    constexpr int kCopies = kRowBytes / 16;
    for (int32_t i = thread_.index(); i < tokens * kCopies; i += Shape::kThreads) {
      const int32_t token = i / kCopies;
      thread_.CopyAsync(target + i * 16,
                        RowOf(data, strides, places[token]) + (i - token * kCopies) * 16);
    }
  }

  // By one warp.
  KVPAGER_DEVICE void FetchBulk(int32_t tile) {
    const int32_t tokens = TokensOf(tile);
    if (tokens == 0) return;  // Nobody waits for it.
    uint64_t* const barrier = &barriers_[(base_ + tile) % Shape::kStages];
    if (thread_.lane() == 0) {
      thread_.BarrierExpect(
          barrier, static_cast<uint32_t>(tokens * (Shape::kRowBytesK + Shape::kRowBytesV)));
    }
    thread_.SyncWarp();  // The bytes are expected before any comes.
    const Place* const places = places_ + tile % 2 * Shape::kTokens;
    uint8_t* const stage = Stage(tile);
    for (int32_t token = thread_.lane(); token < tokens; token += kWarpLanes) {
      const Place place = places[token];
      thread_.BulkCopy(stage + token * Shape::kRowBytesK,
                       RowOf(params_.kv.k_data, params_.kv.k, place), Shape::kRowBytesK, barrier);
      if constexpr (!Shape::kShared) {
        thread_.BulkCopy(stage + Shape::kTokens * Shape::kRowBytesK + token * Shape::kRowBytesV,
                         RowOf(params_.kv.v_data, params_.kv.v, place), Shape::kRowBytesV, barrier);
      }
    }
  }

  const Thread& thread_;
  const AttendParams& params_;
  uint8_t* shared_;
  Place* places_;
  int64_t* positions_;
  uint64_t* barriers_;
  AttendPiece piece_;
  int32_t base_ = 0;   // Tiles of all earlier pieces: stages and phases go on from piece to piece.
  int32_t count_ = 0;  // Tiles of this piece.
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_TILES_CUH_
