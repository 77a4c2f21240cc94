// kernels/attention.h
//
// What every attention kernel is asked: query tokens over the paged K and V of a batch. The same
// structs for a decode (one query token per entry), a chunk of a prefill (many) and a tree of
// drafts.
//
//   sequence   0 . . . sinks . . . . . . . . . . . . . . . . . . p
//   full       [ seen by the query at position p ................]
//   window     [ seen ][          not seen         ][ seen ......]   window_tokens, p included
//   drafts     [ seen by all drafts: the context ..][ one bit per draft ]
//
// Query head i reads K and V head i / (query_heads / kv_heads).
//
// REQUIRES: query_heads is a multiple of kv_heads. Every K and V row that one query token of a call
// sees is finite: rows that none of them sees are never read.
// Ownership: pointers are the caller's. Thread-safety: plain values. Errors: none.

#ifndef KVPAGER_KERNELS_ATTENTION_H_
#define KVPAGER_KERNELS_ATTENTION_H_

#include <cstdint>

#include "kernels/paged_kv.h"

namespace kvpager::kernels {

struct AttentionMask {
  int64_t window_tokens = 0;  // How many tokens a query sees, itself included; 0: all before it.
  int64_t sink_tokens = 0;    // With a window: so many first tokens of the sequence are seen too.
  // Drafts: bit i of a query token's words says whether it sees the token at draft_first + i. All
  // tokens before draft_first are its context, from which a window is counted by the number of
  // drafts that it sees. Null: none, the mask is causal.
  const uint64_t* draft_bits = nullptr;  // [query tokens, draft_words]
  int32_t draft_words = 0;
  const int64_t* draft_first =
      nullptr;  // [batch_size]; null: the position of the first query token.
};

struct AttentionQuery {
  const float* query = nullptr;  // [query tokens, query_heads, head_dim_k]
  int32_t query_heads = 0;
  float scale = 1.0f;  // Of the logits: usually 1 / sqrt(head_dim_k).
  // [batch_size + 1]: entry i has the query tokens query_indptr[i] up to query_indptr[i + 1]. Null:
  // one each, which is a decode.
  const int32_t* query_indptr = nullptr;
  // [batch_size]: position of the entry's first query token in its sequence. Null: the query tokens
  // are the last tokens that the pages hold. Needed with a mask where pages are a part of a
  // sequence.
  const int64_t* query_first = nullptr;
  AttentionMask mask;
};

struct AttentionOutput {
  float* output = nullptr;  // [query tokens, query_heads, head_dim_v]
  float* lse = nullptr;     // [query tokens, query_heads], natural logarithm; may be null.
};

// Tokens [first, end) of an entry, counted over its pages.
struct TokenRange {
  int64_t first = 0;
  int64_t end = 0;
};

constexpr int32_t FirstQuery(const AttentionQuery& query, int32_t entry) {
  return query.query_indptr == nullptr ? entry : query.query_indptr[entry];
}
constexpr int32_t QueryCount(const AttentionQuery& query, int32_t entry) {
  return FirstQuery(query, entry + 1) - FirstQuery(query, entry);
}
constexpr int64_t QueryPosition(const PagedKv& kv, const AttentionQuery& query, int32_t entry) {
  return query.query_first == nullptr ? EndPosition(kv, entry) - QueryCount(query, entry)
                                      : query.query_first[entry];
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_ATTENTION_H_
