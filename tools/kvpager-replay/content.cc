#include "tools/kvpager-replay/content.h"

#include <cstring>

#include "tools/kvpager-replay/random.h"

// The loops below vectorise; they are compiled for AVX2 a second time, and chosen at run time.
#if defined(__x86_64__) && defined(__GNUC__)
#define KVPAGER_REPLAY_AVX2 1
#endif
#define KVPAGER_INLINE static inline __attribute__((always_inline))

namespace kvpager::replay {
namespace {

constexpr uint32_t kPairStep = 0x9e3779b9u;

// Two neighbouring elements of a row.
KVPAGER_INLINE uint32_t ContentPair(uint32_t row_low, uint32_t row_high, uint32_t pair) {
  uint32_t bits = row_low + pair * kPairStep;
  bits = (bits ^ (bits >> 16)) * 0x21f0aaadu;
  bits = ((bits ^ (bits >> 15)) + row_high) * 0x735a2d97u;
  bits ^= bits >> 15;
  // Sign, lowest exponent bit and fraction are free; the exponent is 12 or 13 of 15.
  return (bits & 0x87ff87ffu) | 0x30003000u;
}

KVPAGER_INLINE uint64_t RowOf(uint64_t part, uint32_t token, uint32_t head) {
  return Mix(part + (uint64_t{token} << 32 | head) * 0x9e3779b97f4a7c15u);
}

uint64_t PartOf(const ContentRows& rows) {
  return MixTogether(rows.identity,
                     uint64_t{rows.layer} * 2 + static_cast<uint64_t>(rows.part) + 1);
}

KVPAGER_INLINE void WriteRow(uint64_t row, uint32_t dim, uint16_t* target) {
  const auto low = static_cast<uint32_t>(row);
  const auto high = static_cast<uint32_t>(row >> 32);
  const uint32_t pairs = dim / 2;
  for (uint32_t i = 0; i < pairs; ++i) {
    const uint32_t pair = ContentPair(low, high, i);
    std::memcpy(target + size_t{i} * 2, &pair, sizeof pair);
  }
  if (dim % 2 != 0) target[dim - 1] = static_cast<uint16_t>(ContentPair(low, high, pairs));
}

// The bits in which a row differs from what it must be, all joined.
KVPAGER_INLINE uint32_t DifferingBits(uint64_t row, uint32_t dim, const uint16_t* source) {
  const auto low = static_cast<uint32_t>(row);
  const auto high = static_cast<uint32_t>(row >> 32);
  const uint32_t pairs = dim / 2;
  uint32_t differing = 0;
  for (uint32_t i = 0; i < pairs; ++i) {
    uint32_t found;
    std::memcpy(&found, source + size_t{i} * 2, sizeof found);
    differing |= ContentPair(low, high, i) ^ found;
  }
  if (dim % 2 != 0) {
    differing |= (ContentPair(low, high, pairs) & 0xffffu) ^ source[dim - 1];
  }
  return differing;
}

KVPAGER_INLINE void WriteBody(const ContentRows& rows, uint64_t part, uint16_t* page) {
  for (uint32_t token = rows.token_first; token < rows.token_end; ++token) {
    for (uint32_t head = 0; head < rows.heads; ++head) {
      WriteRow(RowOf(part, token, head), rows.head_dim,
               page + token * rows.strides.token + head * rows.strides.head);
    }
  }
}

KVPAGER_INLINE bool MatchBody(const ContentRows& rows, uint64_t part, const uint16_t* page) {
  uint32_t differing = 0;
  for (uint32_t token = rows.token_first; token < rows.token_end; ++token) {
    for (uint32_t head = 0; head < rows.heads; ++head) {
      differing |= DifferingBits(RowOf(part, token, head), rows.head_dim,
                                 page + token * rows.strides.token + head * rows.strides.head);
    }
  }
  return differing == 0;
}

#if defined(KVPAGER_REPLAY_AVX2)
__attribute__((target("avx2"))) void WriteAvx2(const ContentRows& rows, uint64_t part,
                                               uint16_t* page) {
  WriteBody(rows, part, page);
}
__attribute__((target("avx2"))) bool MatchAvx2(const ContentRows& rows, uint64_t part,
                                               const uint16_t* page) {
  return MatchBody(rows, part, page);
}
const bool g_has_avx2 = __builtin_cpu_supports("avx2");
#endif

}  // namespace

void WriteContent(const ContentRows& rows, uint16_t* page) {
#if defined(KVPAGER_REPLAY_AVX2)
  if (g_has_avx2) return WriteAvx2(rows, PartOf(rows), page);
#endif
  WriteBody(rows, PartOf(rows), page);
}

bool ContentMatches(const ContentRows& rows, const uint16_t* page) {
#if defined(KVPAGER_REPLAY_AVX2)
  if (g_has_avx2) return MatchAvx2(rows, PartOf(rows), page);
#endif
  return MatchBody(rows, PartOf(rows), page);
}

uint16_t ContentElement(uint64_t row, uint32_t element) {
  const uint32_t pair =
      ContentPair(static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32), element / 2);
  return static_cast<uint16_t>(pair >> (element % 2 * 16));
}

ContentPlace FindMismatch(const ContentRows& rows, const uint16_t* page) {
  const uint64_t part = PartOf(rows);
  for (uint32_t token = rows.token_first; token < rows.token_end; ++token) {
    for (uint32_t head = 0; head < rows.heads; ++head) {
      const uint64_t row = RowOf(part, token, head);
      const uint16_t* found = page + token * rows.strides.token + head * rows.strides.head;
      for (uint32_t i = 0; i < rows.head_dim; ++i) {
        const uint16_t expected = ContentElement(row, i);
        if (found[i] != expected) return {token, head, i, expected, found[i]};
      }
    }
  }
  // Gone when looked at again: somebody was still writing. Expected equals found says so.
  return {};
}

}  // namespace kvpager::replay
