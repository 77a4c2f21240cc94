// kernels/cuda/attend_rows.cuh
//
// What a warp does with its query rows and some tokens of a tile, all of it in registers but for
// the logits:
//
//   logits   each group of lanes takes a token: every lane multiplies its elements of the K row,
//            converted once, with those of all query rows; then the lanes' sums are added up
//   weights  lane l takes row l % rows of every so many-th token: mask, maximum, exp; the one place
//            where masks are looked at, and only in tiles that some row does not see all of
//   values   each group takes a token again and adds its V row, weighted, to all rows' sums
//
// Weights are powers of two: queries are multiplied by scale * log2(e) when they are loaded. The
// softmax goes online over tiles as in FlashAttention (Dao et al., 2022): where the maximum grows,
// what was summed so far shrinks.

#ifndef KVPAGER_KERNELS_CUDA_ATTEND_ROWS_CUH_
#define KVPAGER_KERNELS_CUDA_ATTEND_ROWS_CUH_

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/thread.cuh"
#include "kernels/mask.h"

namespace kvpager::kernels {

KVPAGER_DEVICE float Exp2(float value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
  return result;
#else
  return std::exp2(value);
#endif
}

// Adds up each of kRows values over a group of kLanes lanes, half of the values with each exchange:
// the lane's sum is that of row SummedRow(lane).
template <int kRows, int kLanes, typename Thread>
KVPAGER_DEVICE float SumOverLanes(const Thread& thread, float (&values)[kRows]) {
  int offset = kLanes / 2;
  KVPAGER_UNROLL
  for (int kept = kRows / 2; kept > 0; kept /= 2) {
    const bool upper = (thread.lane() & offset) != 0;
    KVPAGER_UNROLL
    for (int i = 0; i < kept; ++i) {
      const float given = upper ? values[i] : values[i + kept];
      const float own = upper ? values[i + kept] : values[i];
      values[i] = own + thread.ShuffleXor(given, offset);
    }
    offset /= 2;
  }
  KVPAGER_UNROLL
  for (; offset > 0; offset /= 2) values[0] += thread.ShuffleXor(values[0], offset);
  return values[0];
}
template <int kRows, int kLanes>
constexpr int SummedRow(int lane) {
  return lane % kLanes / (kLanes / kRows);
}

// Tokens of a tile as a warp takes them.
struct WarpTokens {
  int32_t first = 0;
  int32_t count = 0;                   // A multiple of Shape::kGroups.
  int32_t tile_end = 0;                // Tokens that the tile has.
  const int64_t* positions = nullptr;  // Of the tile's tokens.
};

template <typename Shape, typename Thread>
class AttendRows {
 public:
  static constexpr int kRows = Shape::kRows;

  // `weights`: [tokens of a tile, kRows] of shared memory, of this warp alone.
  KVPAGER_DEVICE AttendRows(const Thread& thread, float* weights)
      : weights_(weights),
        group_(thread.lane() / Shape::kLanes),
        group_lane_(thread.lane() % Shape::kLanes) {
    KVPAGER_UNROLL
    for (int row = 0; row < kRows; ++row) {
      KVPAGER_UNROLL
      for (int i = 0; i < kElementsV; ++i) sums_[row][i] = 0;
    }
  }

  // `query`: [head_dim_k], or null: the row is none.
  KVPAGER_DEVICE void LoadRow(int row, const float* query, float scale) {
    KVPAGER_UNROLL
    for (int i = 0; i < kElementsK; ++i) {
      const int element = ElementOf(i);
      const bool exists = query != nullptr && element < Shape::kHeadDimK;
      query_[row][i] = exists ? query[element] * (scale * kLog2E) : 0.0f;
    }
  }

  KVPAGER_DEVICE void Logits(const Thread& thread, const uint8_t* k, const WarpTokens& tokens) {
    for (int32_t at = group_; at < tokens.count; at += Shape::kGroups) {
      const uint8_t* const k_row = k + (tokens.first + at) * Shape::kRowBytesK;
      float logits[kRows] = {};
      KVPAGER_UNROLL
      for (int j = 0; j < Shape::kLaneAccessesK; ++j) {
        const int access = j * Shape::kLanes + group_lane_;
        if (!IsWhole(Shape::kAccessesK) && access >= Shape::kAccessesK) break;
        float elements[Shape::kAccess];
        LoadAccess<Shape::kType>(k_row + access * Shape::kAccess * Shape::kBytes, elements);
        KVPAGER_UNROLL
        for (int row = 0; row < kRows; ++row) {
          KVPAGER_UNROLL
          for (int i = 0; i < Shape::kAccess; ++i) {
            logits[row] += query_[row][j * Shape::kAccess + i] * elements[i];
          }
        }
      }
      const float sum = SumOverLanes<kRows, Shape::kLanes>(thread, logits);
      if (group_lane_ % (Shape::kLanes / kRows) == 0) {
        weights_[at * kRows + SummedRow<kRows, Shape::kLanes>(group_lane_)] = sum;
      }
    }
  }

  // Makes weights of the logits. `sight` is that of row lane % kRows, or null: the row is none.
  // Returns whether all rows see all of the tokens.
  KVPAGER_DEVICE bool Weigh(const Thread& thread, const WarpTokens& tokens, const Sight* sight) {
    const int64_t* const positions = tokens.positions + tokens.first;
    bool whole = tokens.first + tokens.count <= tokens.tile_end;
    if (whole && sight != nullptr) {
      whole = SeesAll(*sight, positions[0], positions[tokens.count - 1] + 1);
    }
    whole = thread.All(whole);
    float largest = largest_;
    for (int32_t i = thread.lane(); i < tokens.count * kRows; i += kWarpLanes) {
      const int32_t token = i / kRows;
      if (!whole) {
        const bool seen = tokens.first + token < tokens.tile_end && sight != nullptr &&
                          Sees(*sight, positions[token]);
        if (!seen) weights_[i] = -std::numeric_limits<float>::infinity();
      }
      largest = Larger(weights_[i], largest);
    }
    KVPAGER_UNROLL
    for (int offset = kRows; offset < kWarpLanes; offset *= 2) {
      largest = Larger(thread.ShuffleXor(largest, offset), largest);
    }
    Grow(thread, largest);
    for (int32_t i = thread.lane(); i < tokens.count * kRows; i += kWarpLanes) {
      const float weight = Exp2(weights_[i] - Finite(largest));
      weights_[i] = weight;
      total_ += weight;
    }
    return whole;
  }

  KVPAGER_DEVICE void Values(const uint8_t* v, const WarpTokens& tokens, bool whole) {
    constexpr int kStride = Shape::kShared ? Shape::kRowBytesK : Shape::kRowBytesV;
    for (int32_t at = group_; at < tokens.count; at += Shape::kGroups) {
      float weights[kRows];
      bool some = whole;
      KVPAGER_UNROLL
      for (int row = 0; row < kRows; row += 4) {
        const auto four = *reinterpret_cast<const Floats4*>(weights_ + at * kRows + row);
        KVPAGER_UNROLL
        for (int i = 0; i < 4; ++i) weights[row + i] = four.value[i];
      }
      if (!whole) {
        KVPAGER_UNROLL
        for (int row = 0; row < kRows; ++row) some = some || weights[row] != 0.0f;
      }
      if (!some) continue;  // What nobody sees may be anything, also NaN.
      const uint8_t* const v_row = v + (tokens.first + at) * kStride;
      KVPAGER_UNROLL
      for (int j = 0; j < Shape::kLaneAccessesV; ++j) {
        const int access = j * Shape::kLanes + group_lane_;
        if (!IsWhole(Shape::kAccessesV) && access >= Shape::kAccessesV) break;
        float elements[Shape::kAccess];
        LoadAccess<Shape::kType>(v_row + access * Shape::kAccess * Shape::kBytes, elements);
        KVPAGER_UNROLL
        for (int row = 0; row < kRows; ++row) {
          KVPAGER_UNROLL
          for (int i = 0; i < Shape::kAccess; ++i) {
            sums_[row][j * Shape::kAccess + i] += weights[row] * elements[i];
          }
        }
      }
    }
  }

  // The warp's state of all rows: `sums` [kRows, head_dim_v] and `states` [kRows] pairs of m (base
  // 2) and d.
  KVPAGER_DEVICE void Store(const Thread& thread, float* sums, float* states) {
    KVPAGER_UNROLL
    for (int offset = kRows; offset < kWarpLanes; offset *= 2) {
      total_ += thread.ShuffleXor(total_, offset);
    }
    if (thread.lane() < kRows) {
      states[2 * thread.lane()] = largest_;
      states[2 * thread.lane() + 1] = total_;
    }
    KVPAGER_UNROLL
    for (int row = 0; row < kRows; ++row) {
      KVPAGER_UNROLL
      for (int i = 0; i < kElementsV; ++i) {
        KVPAGER_UNROLL
        for (int offset = Shape::kLanes; offset < kWarpLanes; offset *= 2) {
          sums_[row][i] += thread.ShuffleXor(sums_[row][i], offset);
        }
        if (group_ == 0 && ElementOf(i) < Shape::kHeadDimV) {
          sums[row * Shape::kHeadDimV + ElementOf(i)] = sums_[row][i];
        }
      }
    }
  }

 private:
  static constexpr int kElementsK = Shape::kLaneAccessesK * Shape::kAccess;
  static constexpr int kElementsV = Shape::kLaneAccessesV * Shape::kAccess;
  static constexpr float kLog2E = 1.4426950408889634f;

  struct alignas(16) Floats4 {
    float value[4];
  };
  static_assert(kRows % 4 == 0);

  // Whether every lane has all its accesses.
  static constexpr bool IsWhole(int accesses) { return accesses % Shape::kLanes == 0; }
  KVPAGER_DEVICE int ElementOf(int i) const {
    return (i / Shape::kAccess * Shape::kLanes + group_lane_) * Shape::kAccess + i % Shape::kAccess;
  }
  // A NaN is never the larger one; its weight is NaN all the same.
  KVPAGER_DEVICE static float Larger(float one, float other) { return one > other ? one : other; }
  KVPAGER_DEVICE static float Finite(float largest) {
    return largest == -std::numeric_limits<float>::infinity() ? 0.0f : largest;
  }

  // The maximum of row lane % kRows is now `largest`.
  KVPAGER_DEVICE void Grow(const Thread& thread, float largest) {
    const float factor = Exp2(largest_ - Finite(largest));
    const bool same = largest == largest_;
    largest_ = largest;
    if (thread.All(same)) return;
    total_ *= factor;
    KVPAGER_UNROLL
    for (int row = 0; row < kRows; ++row) {
      const float of_row = thread.Shuffle(factor, row);
      KVPAGER_UNROLL
      for (int i = 0; i < kElementsV; ++i) sums_[row][i] *= of_row;
    }
  }

  float* weights_;
  int32_t group_;
  int32_t group_lane_;
  float query_[kRows][kElementsK];
  float sums_[kRows][kElementsV];
  float largest_ = -std::numeric_limits<float>::infinity();  // Of row lane % kRows.
  float total_ = 0;  // Of the same row, over this lane's tokens.
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_ATTEND_ROWS_CUH_
