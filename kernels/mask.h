// kernels/mask.h
//
// Which tokens a query token sees, as a kernel asks for it: of one token, and of a run of tokens at
// once, so that whole pages are taken or skipped without a look at each token.
//
// Units: positions in the sequence. Thread-safety: plain values. Errors: none.

#ifndef KVPAGER_KERNELS_MASK_H_
#define KVPAGER_KERNELS_MASK_H_

#include <bit>
#include <cstdint>

#include "kernels/attention.h"

namespace kvpager::kernels {

// One query token's sight: the context [0, context_end) but for what lies between the sinks and the
// window, and behind it what the draft bits say.
struct Sight {
  int64_t sink_end = 0;
  int64_t window_first = 0;
  int64_t context_end = 0;
  const uint64_t* draft = nullptr;
  int64_t draft_tokens = 0;  // Bits that there are.
};

// Of query token `token` of the entry, counted from 0.
constexpr Sight SightOf(const PagedKv& kv, const AttentionQuery& query, int32_t entry,
                        int32_t token) {
  const AttentionMask& mask = query.mask;
  const int64_t first = QueryPosition(kv, query, entry);
  Sight sight;
  int64_t seen_end = first + token + 1;  // Behind the query token itself.
  if (mask.draft_bits == nullptr) {
    sight.context_end = seen_end;
  } else {
    const int64_t row = FirstQuery(query, entry) + token;
    sight.context_end = mask.draft_first == nullptr ? first : mask.draft_first[entry];
    sight.draft = mask.draft_bits + row * mask.draft_words;
    sight.draft_tokens = int64_t{64} * mask.draft_words;
    seen_end = sight.context_end;
    for (int32_t i = 0; i < mask.draft_words; ++i) seen_end += std::popcount(sight.draft[i]);
  }
  if (mask.window_tokens > 0) {
    sight.sink_end = mask.sink_tokens;
    sight.window_first = seen_end > mask.window_tokens ? seen_end - mask.window_tokens : 0;
    // Drafts are seen as their bits say, also those that more than a window of drafts leave behind.
    if (sight.window_first > sight.context_end) sight.window_first = sight.context_end;
  }
  return sight;
}

constexpr bool Sees(const Sight& sight, int64_t position) {
  if (position < sight.context_end) {
    return position >= sight.window_first || position < sight.sink_end;
  }
  const int64_t bit = position - sight.context_end;
  return bit < sight.draft_tokens && ((sight.draft[bit / 64] >> (bit % 64)) & 1) != 0;
}

// True only if every position in [first, end) is seen; may be false where it is so all the same.
constexpr bool SeesAll(const Sight& sight, int64_t first, int64_t end) {
  return end <= sight.context_end && (first >= sight.window_first || end <= sight.sink_end);
}

// True only if none in [first, end) is seen; may be false where it is so all the same.
constexpr bool SeesNone(const Sight& sight, int64_t first, int64_t end) {
  if (first >= sight.context_end) return first - sight.context_end >= sight.draft_tokens;
  return end <= sight.context_end && end <= sight.window_first && first >= sight.sink_end;
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_MASK_H_
