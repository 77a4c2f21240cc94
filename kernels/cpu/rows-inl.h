// kernels/cpu/rows-inl.h
//
// Loads of elements of a row as floats, one register at a time, per element type. Highway's way:
// this file is compiled once for every instruction set, see attend-inl.h.
//
//   Row::kBytes      of an element
//   Row::kFactor     the true value is what Load returns times this
//   Row::Load        as many elements as a register of floats has

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/cpu/fetch_ahead.h"
#include "kernels/cpu/token_block.h"

#if defined(KVPAGER_KERNELS_CPU_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPAGER_KERNELS_CPU_ROWS_INL_H_
#undef KVPAGER_KERNELS_CPU_ROWS_INL_H_
#else
#define KVPAGER_KERNELS_CPU_ROWS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
inline constexpr int32_t kLanes = HWY_LANES(float);

// Half to float where the instruction set has no conversion of its own that is right for all
// values: the product with 2^112 rebiases the exponent and makes subnormals right as well.
HWY_INLINE Vector HalfBitsToFloat(hn::Vec<hn::RebindToUnsigned<Floats>> bits) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> du;
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
  const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fffu)));
  const auto scaled = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112f));
  const auto special = hn::Ge(hn::BitCast(d, magnitude), hn::BitCast(d, hn::Set(du, 0x0f800000u)));
  const auto infinity = hn::BitCast(d, hn::Set(du, 0x7f800000u));
  return hn::Or(hn::Or(scaled, hn::IfThenElseZero(special, infinity)), hn::BitCast(d, sign));
}

HWY_INLINE Vector HalfToFloat(hn::Vec<hn::Rebind<uint16_t, Floats>> half) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_NEON
  const hn::Rebind<hwy::float16_t, Floats> dh;
  return hn::PromoteTo(Floats(), hn::BitCast(dh, half));
#else
  return HalfBitsToFloat(hn::PromoteTo(hn::RebindToUnsigned<Floats>(), half));
#endif
}

struct F16Row {
  static constexpr int64_t kBytes = 2;
  static constexpr float kFactor = 1.0f;
  static HWY_INLINE Vector Load(const uint8_t* HWY_RESTRICT at) {
    const hn::Rebind<uint16_t, Floats> du;
    return HalfToFloat(hn::LoadU(du, reinterpret_cast<const uint16_t*>(at)));
  }
};

struct Bf16Row {
  static constexpr int64_t kBytes = 2;
  static constexpr float kFactor = 1.0f;
  static HWY_INLINE Vector Load(const uint8_t* HWY_RESTRICT at) {
    const hn::Rebind<uint16_t, Floats> du16;
    const hn::RebindToUnsigned<Floats> du;
    const auto bits = hn::LoadU(du16, reinterpret_cast<const uint16_t*>(at));
    return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(du, bits)));
  }
};

struct F32Row {
  static constexpr int64_t kBytes = 4;
  static constexpr float kFactor = 1.0f;
  static HWY_INLINE Vector Load(const uint8_t* HWY_RESTRICT at) {
    return hn::LoadU(Floats(), reinterpret_cast<const float*>(at));
  }
};

// By way of a half, whose exponent is one bit wider and its bias 8 more: 2^-8 of the value. The one
// NaN carries into that bit when the fraction's last bit is added, which makes it a half's NaN.
struct F8Row {
  static constexpr int64_t kBytes = 1;
  static constexpr float kFactor = 256.0f;
  static HWY_INLINE Vector Load(const uint8_t* HWY_RESTRICT at) {
    const hn::Rebind<uint8_t, Floats> du8;
    const hn::Rebind<uint16_t, Floats> du16;
    const hn::RebindToSigned<decltype(du16)> di16;
    const auto top = hn::ShiftLeft<8>(hn::PromoteTo(du16, hn::LoadU(du8, at)));
    const auto shifted = hn::BitCast(du16, hn::ShiftRight<1>(hn::BitCast(di16, top)));
    const auto half = hn::And(shifted, hn::Set(du16, 0xbfffu));
    const auto carry = hn::And(hn::Add(half, hn::Set(du16, 0x0080u)), hn::Set(du16, 0x4000u));
    return HalfToFloat(hn::Or(half, carry));
  }
};

// Keeps the compiler from loading a value again at each of its uses, where loads are what is short.
HWY_INLINE void KeepInRegister(Vector& v) {
#if HWY_ARCH_X86 && HWY_COMPILER_GCC && HWY_TARGET != HWY_SCALAR
  asm("" : "+v"(v.raw));
#else
  static_cast<void>(v);
#endif
}

// The first `count` elements, zeros behind. REQUIRES: count < kLanes.
template <typename Row>
HWY_INLINE Vector LoadFirst(const uint8_t* at, int32_t count) {
  alignas(64) uint8_t buffer[kLanes * 4] = {};
  std::memcpy(buffer, at, static_cast<size_t>(count * Row::kBytes));
  return Row::Load(buffer);
}

HWY_INLINE Vector LoadFirstFloats(const float* at, int32_t count) {
  return LoadFirst<F32Row>(reinterpret_cast<const uint8_t*>(at), count);
}

// The rows of one K and V head of a block, and what is fetched meanwhile.
struct HeadRows {
  const uint8_t* base = nullptr;
  const int64_t* rows = nullptr;          // [kBlockTokens + kTilePadding], bytes from base
  internal::FetchAhead* ahead = nullptr;  // As much of the block to come as is read of this one.

  HWY_INLINE const uint8_t* Row(int32_t token) const { return base + rows[token]; }
  // Of the block at hand, into the first level.
  HWY_INLINE void PrefetchNear(int32_t token, int64_t from, int64_t bytes) const {
    for (int64_t at = 0; at < bytes; at += internal::kLineBytes) {
      __builtin_prefetch(Row(token) + from + at, 0, 3);
    }
  }
};

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KVPAGER_KERNELS_CPU_ROWS_INL_H_
