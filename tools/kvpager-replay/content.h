// tools/kvpager-replay/content.h
//
// What K and V of every token must be: a function of (block, layer, K or V, token in the block,
// head), cheap enough to be written and compared at the speed of memory.
//
//   block identity  64 bits of namespace and block key: so a block that leaks from one namespace
//                   into another is a mismatch
//   row             splitmix of (identity, layer, K or V, token, head): 64 bits
//   element         two multiplications of the row's bits and the element's number: a float16 of
//                   either sign in [0.125, 0.5), so that attention over it is well behaved
//
// Every bit of an element counts when compared: any flipped bit of K or V is a mismatch.
//
// Units: elements of two bytes; strides in elements. Ownership: pointers are the caller's.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_CONTENT_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_CONTENT_H_

#include <cstdint>

#include "kernels/paged_kv.h"

namespace kvpager::replay {

enum class KvPart : uint32_t { kK = 0, kV = 1 };

// Some tokens of the K or the V of one layer of one page.
struct ContentRows {
  uint64_t identity = 0;
  uint32_t layer = 0;
  KvPart part = KvPart::kK;
  uint32_t token_first = 0;  // Within the page.
  uint32_t token_end = 0;
  uint32_t heads = 0;
  uint32_t head_dim = 0;
  kernels::PageStrides strides;  // Of the page, which is not used here.
};

struct ContentPlace {
  uint32_t token = 0;
  uint32_t head = 0;
  uint32_t element = 0;
  uint16_t expected = 0;
  uint16_t found = 0;
};

// `page` is row (token 0, head 0).
void WriteContent(const ContentRows& rows, uint16_t* page);

// Whether all of it is as it must be.
bool ContentMatches(const ContentRows& rows, const uint16_t* page);

// The first element that is not. If there is none any more (somebody was still writing when
// ContentMatches looked), expected equals found.
ContentPlace FindMismatch(const ContentRows& rows, const uint16_t* page);

// One element, as a float: for queries and for tests.
uint16_t ContentElement(uint64_t row, uint32_t element);

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_CONTENT_H_
