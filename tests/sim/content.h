// tests/sim/content.h
//
// What stands in frames instead of K and V: one 64-bit row per token and page.
//
//   token   64 bits, the identity of a token in its context: two sequences that share a prefix
//   share
//           its tokens; anything else that was ever written has other tokens
//   row     of a token in a group: 56 bits of their hash, below 8 bits that say whose it is
//   key     of a block: a hash of all tokens up to its end, and of the namespace
//
// So a key decides its block's content, and a row that stands in the wrong page, place or namespace
// is recognised.

#ifndef KVPAGER_TESTS_SIM_CONTENT_H_
#define KVPAGER_TESTS_SIM_CONTENT_H_

#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"
#include "tests/testing/random.h"

namespace kvpager::sim {

using Token = uint64_t;
using Row = uint64_t;

inline constexpr Row kZeroRow = 0;
inline constexpr int kOwnerShift = 56;
inline constexpr Row kOwnerMask = Row{0xff} << kOwnerShift;

inline Row OwnerBits(NamespaceId owner) { return Row{owner.value + 1} << kOwnerShift; }

inline Row RowOf(Token token, uint32_t group, NamespaceId owner) {
  return (testing::Mix(token, group + 1) & ~kOwnerMask) | OwnerBits(owner);
}

// A frame whose writing failed holds this: somebody's bytes, but no token's.
inline Row Garbage(Row was, uint64_t salt) {
  return (was & kOwnerMask) | (testing::Mix(salt, 0xbad) & ~kOwnerMask);
}

// The keys of the full blocks of `tokens`.
inline std::vector<BlockKey> KeysOf(const std::vector<Token>& tokens, uint32_t page_tokens,
                                    NamespaceId owner) {
  std::vector<BlockKey> keys;
  uint64_t hash = testing::Mix(owner.value, 0x5ec7e7);
  for (size_t i = 0; i < tokens.size(); ++i) {
    hash = testing::Mix(hash, tokens[i]);
    if ((i + 1) % page_tokens == 0) keys.push_back(BlockKey{{hash, testing::Mix(hash, 1)}});
  }
  return keys;
}

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_CONTENT_H_
