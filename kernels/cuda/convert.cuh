// kernels/cuda/convert.cuh
//
// One access of a thread to a row of K or V, as floats. What a device converts in one instruction
// is written so; everything else is dtype.h's arithmetic, which the CPU tests as well.
//
//   type            elements per access   bytes
//   float32                  4             16
//   float16, bfloat16        8             16
//   float8 E4M3              8              8

#ifndef KVPAGER_KERNELS_CUDA_CONVERT_CUH_
#define KVPAGER_KERNELS_CUDA_CONVERT_CUH_

#include <bit>
#include <cstdint>

#include "kernels/cuda/thread.cuh"
#include "kernels/dtype.h"

namespace kvpager::kernels {

// Words of 32 bits as a thread reads them, all at once.
template <int kWords>
struct alignas(4 * kWords) Words {
  uint32_t word[kWords];
};

template <Dtype kType>
inline constexpr int kAccessElements = kType == Dtype::kF32 ? 4 : 8;
template <Dtype kType>
inline constexpr int kAccessWords = kType == Dtype::kF8E4m3 ? 2 : 4;

namespace internal {

KVPAGER_DEVICE float F16BitsToFloat(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(static_cast<uint16_t>(bits)));
  return value;
#else
  return F16ToFloat(static_cast<uint16_t>(bits));
#endif
}

// Two of them, from the lower half of `bits`.
KVPAGER_DEVICE void F8PairToFloats(uint32_t bits, float* values) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  uint32_t halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(static_cast<uint16_t>(bits)));
  values[0] = F16BitsToFloat(halves & 0xffffu);
  values[1] = F16BitsToFloat(halves >> 16);
#else
  values[0] = F8E4m3ToFloat(static_cast<uint8_t>(bits & 0xffu));
  values[1] = F8E4m3ToFloat(static_cast<uint8_t>((bits >> 8) & 0xffu));
#endif
}

}  // namespace internal

// REQUIRES: `row` aligned to the bytes of an access.
template <Dtype kType>
KVPAGER_DEVICE void LoadAccess(const uint8_t* row, float (&values)[kAccessElements<kType>]) {
  const auto words = *reinterpret_cast<const Words<kAccessWords<kType>>*>(row);
  KVPAGER_UNROLL
  for (int i = 0; i < kAccessWords<kType>; ++i) {
    const uint32_t word = words.word[i];
    if constexpr (kType == Dtype::kF32) {
      values[i] = std::bit_cast<float>(word);
    } else if constexpr (kType == Dtype::kBf16) {
      values[2 * i] = std::bit_cast<float>(word << 16);
      values[2 * i + 1] = std::bit_cast<float>(word & 0xffff0000u);
    } else if constexpr (kType == Dtype::kF16) {
      values[2 * i] = internal::F16BitsToFloat(word & 0xffffu);
      values[2 * i + 1] = internal::F16BitsToFloat(word >> 16);
    } else {
      internal::F8PairToFloats(word & 0xffffu, values + 4 * i);
      internal::F8PairToFloats(word >> 16, values + 4 * i + 2);
    }
  }
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_CONVERT_CUH_
