// kernels/dtype.h
//
// Element types of K and V, and their conversion to and from float, one element at a time. The
// vectorised conversion is in cpu/decode_body.h; this one is what it is tested against.
//
// The numbers are those of the C ABI: do not renumber.
// Errors: none. A float that a type cannot hold becomes its infinity (E4M3, which has none: NaN).

#ifndef KVPAGER_KERNELS_DTYPE_H_
#define KVPAGER_KERNELS_DTYPE_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace kvpager::kernels {

enum class Dtype : uint32_t { kF16 = 0, kBf16 = 1, kF32 = 2, kF8E4m3 = 3 };

constexpr size_t ElementBytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF16:
    case Dtype::kBf16:
      return 2;
    case Dtype::kF32:
      return 4;
    case Dtype::kF8E4m3:
      return 1;
  }
  return 0;
}

// Half: 1 sign, 5 exponent (bias 15), 10 fraction. The product with 2^112 rebiases the exponent and
// makes subnormals right as well.
constexpr float F16ToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  uint32_t bits = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  if ((half & 0x7c00u) == 0x7c00u) bits |= 0x7f800000u;
  return std::bit_cast<float>(bits | sign);
}

// The upper half of a float.
constexpr float Bf16ToFloat(uint16_t half) {
  return std::bit_cast<float>(static_cast<uint32_t>(half) << 16);
}

// E4M3: 1 sign, 4 exponent (bias 7), 3 fraction; no infinity, S.1111.111 is NaN.
constexpr float F8E4m3ToFloat(uint8_t byte) {
  const uint32_t sign = static_cast<uint32_t>(byte & 0x80u) << 24;
  const uint32_t magnitude = static_cast<uint32_t>(byte & 0x7fu) << 20;
  uint32_t bits = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p120f);
  if ((byte & 0x7fu) == 0x7fu) bits |= 0x7fc00000u;
  return std::bit_cast<float>(bits | sign);
}

namespace internal {

// Rounds the magnitude of a finite float to `fraction_bits` (to nearest, ties to even) in a format
// whose smallest normal exponent is `exponent_min`; returns exponent and fraction, packed, as if
// the exponent had no upper limit.
constexpr uint32_t RoundMagnitude(float magnitude, int fraction_bits, int exponent_min) {
  const uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  const int exponent = static_cast<int>(bits >> 23) - 127;
  const uint64_t fraction = (bits & 0x7fffffu) | (exponent == -127 ? 0u : 0x800000u);
  int shift = 23 - fraction_bits;
  int biased = exponent - exponent_min + 1;
  if (biased < 1) {  // Subnormal in the target: shift further, exponent field 0.
    shift += 1 - biased;
    biased = 1;
    if (shift > 40) return 0;
  }
  const uint64_t half_unit = uint64_t{1} << (shift - 1);
  const uint64_t kept = fraction >> shift;
  const uint64_t rest = fraction & ((uint64_t{1} << shift) - 1);
  const uint64_t rounded = kept + ((rest > half_unit || (rest == half_unit && (kept & 1))) ? 1 : 0);
  // The implicit one, if present, adds 1 to the exponent field; so does a carry out of the
  // fraction.
  return static_cast<uint32_t>((static_cast<uint64_t>(biased - 1) << fraction_bits) + rounded);
}

}  // namespace internal

constexpr uint16_t FloatToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude == 0x7f800000u) return static_cast<uint16_t>(sign | 0x7c00u);
  const uint32_t packed = internal::RoundMagnitude(std::bit_cast<float>(magnitude), 10, -14);
  return static_cast<uint16_t>(sign | (packed > 0x7c00u ? 0x7c00u : packed));
}

constexpr uint16_t FloatToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

constexpr uint8_t FloatToF8E4m3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) return static_cast<uint8_t>(sign | 0x7fu);
  const uint32_t packed = internal::RoundMagnitude(std::bit_cast<float>(magnitude), 3, -6);
  return static_cast<uint8_t>(sign | (packed > 0x7fu ? 0x7fu : packed));
}

inline float LoadElement(Dtype dtype, const void* data, int64_t index) {
  switch (dtype) {
    case Dtype::kF16:
      return F16ToFloat(static_cast<const uint16_t*>(data)[index]);
    case Dtype::kBf16:
      return Bf16ToFloat(static_cast<const uint16_t*>(data)[index]);
    case Dtype::kF32:
      return static_cast<const float*>(data)[index];
    case Dtype::kF8E4m3:
      return F8E4m3ToFloat(static_cast<const uint8_t*>(data)[index]);
  }
  return 0.0f;
}

inline void StoreElement(Dtype dtype, void* data, int64_t index, float value) {
  switch (dtype) {
    case Dtype::kF16:
      static_cast<uint16_t*>(data)[index] = FloatToF16(value);
      return;
    case Dtype::kBf16:
      static_cast<uint16_t*>(data)[index] = FloatToBf16(value);
      return;
    case Dtype::kF32:
      static_cast<float*>(data)[index] = value;
      return;
    case Dtype::kF8E4m3:
      static_cast<uint8_t*>(data)[index] = FloatToF8E4m3(value);
      return;
  }
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_DTYPE_H_
