// kernels/cuda/attend_shape.h
//
// How the attention kernel lays its work over a block, for each element type and head dimension:
// plain numbers, computed once for host and device.
//
//   warp     [ group of lanes: one token's row ][ group: the next token ]...
//   lanes    as many as take a row of K with about 8 elements each
//   block    warps share out the query rows (row_warps) and the tokens of a tile (the others)
//   stage    the K and V rows of a tile of tokens, as they lie in the pages
//
// A stage is of 8 to 18 KB: with three or four of them, and two or three blocks on a
// multiprocessor, more bytes are under way than its share of the memory's bandwidth times latency.

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_SHAPE_H_
#define KVPAGER_KERNELS_CUDA_ATTEND_SHAPE_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"
#include "kernels/mask.h"

namespace kvpager::kernels {

// The numbers that depend on the shape alone, for code that is no template of it.
struct AttendNumbers {
  int32_t warps = 0;
  int32_t warp_rows = 0;
  int32_t tile_tokens = 0;
  int32_t shared_bytes = 0;
};

template <Dtype kTypeOf, int kDimK, int kDimV, int kRowsOf>
struct AttendShape {
  static constexpr Dtype kType = kTypeOf;
  static constexpr int kHeadDimK = kDimK;
  static constexpr int kHeadDimV = kDimV;
  static constexpr int kRows = kRowsOf;            // Query rows that a warp holds.
  static constexpr bool kShared = kDimK != kDimV;  // V is the start of K's rows.

  static constexpr int kBytes = static_cast<int>(ElementBytes(kType));
  static constexpr int kAccess = kType == Dtype::kF32 ? 4 : 8;  // Elements; convert.cuh.
  static constexpr int kLanes =
      std::min(32, static_cast<int>(std::bit_ceil(static_cast<unsigned>((kDimK + 7) / 8))));
  static constexpr int kGroups = 32 / kLanes;
  // Accesses of a row: access a is lane a % kLanes's, its (a / kLanes)th.
  static constexpr int kAccessesK = kDimK / kAccess;
  static constexpr int kAccessesV = kDimV / kAccess;
  static constexpr int kLaneAccessesK = (kAccessesK + kLanes - 1) / kLanes;
  static constexpr int kLaneAccessesV = (kAccessesV + kLanes - 1) / kLanes;

  static constexpr int kWarps = kShared ? 8 : 4;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kBlocksPerMultiprocessor = kShared ? 1 : 2;

  static constexpr int kRowBytesK = kDimK * kBytes;
  static constexpr int kRowBytesV = kShared ? 0 : kDimV * kBytes;
  static constexpr int kTokens =
      std::min(64, static_cast<int>(std::bit_floor(20480u / (kRowBytesK + kRowBytesV))));
  static constexpr int kStageBytes = kTokens * (kRowBytesK + kRowBytesV);
  static constexpr int kStages = kStageBytes <= 12288 ? 4 : 3;

  // Shared memory, in bytes from its start. When all tiles of a piece are done, the sums of all
  // warps lie over the stages.
  static constexpr int kSumsBytes = kWarps * kRows * kDimV * 4;
  static constexpr int kWeightsAt = std::max(kStages * kStageBytes, kSumsBytes);
  static constexpr int kStatesAt = kWeightsAt + kWarps * kTokens * kRows * 4;
  static constexpr int kSightsAt = kStatesAt + kWarps * kRows * 8;
  static constexpr int kPositionsAt = kSightsAt + kWarps * kRows * static_cast<int>(sizeof(Sight));
  static constexpr int kPlacesAt = kPositionsAt + (kStages + 1) * kTokens * 8;
  static constexpr int kBarriersAt = kPlacesAt + 2 * kTokens * 8;
  static constexpr int kSharedBytes = kBarriersAt + kStages * 8;

  static constexpr AttendNumbers kNumbers = {kWarps, kRows, kTokens, kSharedBytes};

  static_assert(kTokens >= kWarps && kTokens * kBytes >= 8);
  static_assert(kRows <= kLanes && 32 % kRows == 0);
  static_assert(kRowBytesK % 16 == 0 && kRowBytesV % 16 == 0, "copies are of 16 bytes");
  static_assert(kWeightsAt % 16 == 0 && kSightsAt % 8 == 0 && kBarriersAt % 8 == 0);
  static_assert(kSharedBytes <= 99 * 1024, "the least that a block may have, since sm_80");
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_SHAPE_H_
