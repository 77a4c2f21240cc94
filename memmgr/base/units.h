// memmgr/base/units.h
//
// Byte literals and the three roundings that sizes need. Unsigned only; callers check for overflow
// where a product can exceed 64 bits.

#ifndef KVPAGER_MEMMGR_BASE_UNITS_H_
#define KVPAGER_MEMMGR_BASE_UNITS_H_

#include <cstdint>

#include "memmgr/base/check.h"

namespace kvpager {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

constexpr uint64_t CeilDiv(uint64_t value, uint64_t divisor) {
  return value / divisor + (value % divisor != 0 ? 1 : 0);
}

constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return CeilDiv(value, alignment) * alignment;
}

// The value as a narrower unsigned type. CHECKs that nothing is lost.
template <typename To, typename From>
constexpr To CheckedCast(From value) {
  const To narrowed = static_cast<To>(value);
  KVP_CHECK(static_cast<From>(narrowed) == value);
  return narrowed;
}

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_BASE_UNITS_H_
