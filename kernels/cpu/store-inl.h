// kernels/cpu/store-inl.h
//
// Floats to the element types of pages, to nearest with ties to even, bit for bit what dtype.h says
// but for the payload of NaN. The other way is rows-inl.h.

#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"
#include "kernels/dtype.h"

#if defined(KVPAGER_KERNELS_CPU_STORE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPAGER_KERNELS_CPU_STORE_INL_H_
#undef KVPAGER_KERNELS_CPU_STORE_INL_H_
#else
#define KVPAGER_KERNELS_CPU_STORE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

namespace store {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Words = hn::RebindToUnsigned<Floats>;
inline constexpr int32_t kLanes = HWY_LANES(float);

// Each has Element, One (a single value) and Store (a register of them).
struct ToF16 {
  using Element = uint16_t;
  static Element One(float value) { return FloatToF16(value); }
  static HWY_INLINE void Store(hn::Vec<Floats> value, Element* to) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
    const hn::Rebind<hwy::float16_t, Floats> dh;
    hn::StoreU(hn::DemoteTo(dh, value), dh, reinterpret_cast<hwy::float16_t*>(to));
#else
    alignas(64) float buffer[kLanes];
    hn::Store(value, Floats(), buffer);
    for (int32_t i = 0; i < kLanes; ++i) to[i] = One(buffer[i]);
#endif
  }
};

struct ToBf16 {
  using Element = uint16_t;
  static Element One(float value) { return FloatToBf16(value); }
  static HWY_INLINE void Store(hn::Vec<Floats> value, Element* to) {
    const Words dw;
    const hn::RebindToSigned<Words> di;
    const hn::Rebind<uint16_t, Floats> du16;
    const auto bits = hn::BitCast(dw, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(dw, 1));
    const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(dw, 0x7fff)));
    const auto quiet = hn::Or(bits, hn::Set(dw, 0x400000));
    const auto is_nan = hn::RebindMask(dw, hn::IsNaN(value));
    const auto half = hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet, rounded));
    hn::StoreU(hn::DemoteTo(du16, hn::BitCast(di, half)), du16, to);
  }
};

struct ToF32 {
  using Element = float;
  static Element One(float value) { return value; }
  static HWY_INLINE void Store(hn::Vec<Floats> value, Element* to) {
    hn::StoreU(value, Floats(), to);
  }
};

struct ToF8 {
  using Element = uint8_t;
  static Element One(float value) { return FloatToF8E4m3(value); }
  static HWY_INLINE void Store(hn::Vec<Floats> value, Element* to) {
    const Floats d;
    const Words dw;
    const hn::RebindToSigned<Words> di;
    const hn::Rebind<uint8_t, Floats> du8;
    const auto bits = hn::BitCast(dw, value);
    const auto sign = hn::ShiftLeft<7>(hn::ShiftRight<31>(bits));
    const auto magnitude = hn::And(bits, hn::Set(dw, 0x7fffffff));
    // Exponents from -6 on: cut the fraction to 3 bits, then move the bias from 127 to 7.
    const auto odd = hn::And(hn::ShiftRight<20>(magnitude), hn::Set(dw, 1));
    const auto rounded = hn::Add(magnitude, hn::Add(odd, hn::Set(dw, 0x7ffff)));
    const auto normal = hn::Sub(hn::ShiftRight<20>(rounded), hn::Set(dw, 120 << 3));
    // Below: counts of 2^-9, which the sum with 2^14 rounds to, as its last bit is 2^-9.
    const auto counted = hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0x1p14f));
    const auto subnormal = hn::Sub(hn::BitCast(dw, counted), hn::BitCast(dw, hn::Set(d, 0x1p14f)));
    const auto is_small =
        hn::RebindMask(dw, hn::Lt(hn::BitCast(d, magnitude), hn::Set(d, 0x1p-6f)));
    const auto packed = hn::IfThenElse(is_small, subnormal, normal);
    const auto byte = hn::Or(hn::Min(packed, hn::Set(dw, 0x7f)), sign);
    hn::StoreU(hn::DemoteTo(du8, hn::BitCast(di, byte)), du8, to);
  }
};

}  // namespace store

using store::ToBf16;
using store::ToF16;
using store::ToF32;
using store::ToF8;

template <typename To>
HWY_INLINE void StoreAs(const float* HWY_RESTRICT row, int32_t dim,
                        typename To::Element* HWY_RESTRICT to) {
  int32_t i = 0;
  for (; i + store::kLanes <= dim; i += store::kLanes) {
    To::Store(store::hn::LoadU(store::Floats(), row + i), to + i);
  }
  for (; i < dim; ++i) to[i] = To::One(row[i]);
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KVPAGER_KERNELS_CPU_STORE_INL_H_
