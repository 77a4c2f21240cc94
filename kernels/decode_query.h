// kernels/decode_query.h
//
// What every decode kernel is asked: one query token per entry, attending to all tokens before it
// and to itself, which for a single token at the end is no mask at all.
//
// Query head i reads K and V head i / (query_heads / kv_heads).
// REQUIRES: query_heads is a multiple of kv_heads.

#ifndef KVPAGER_KERNELS_DECODE_QUERY_H_
#define KVPAGER_KERNELS_DECODE_QUERY_H_

#include <cstdint>

namespace kvpager::kernels {

struct DecodeQuery {
  const float* query = nullptr;  // [batch_size, query_heads, head_dim_k]
  int32_t query_heads = 0;
  float scale = 1.0f;  // Of the logits: usually 1 / sqrt(head_dim_k).
};

struct DecodeOutput {
  float* output = nullptr;  // [batch_size, query_heads, head_dim_v]
  float* lse = nullptr;     // [batch_size, query_heads], natural logarithm; may be null.
};

// Tokens [first, end) of an entry.
struct TokenRange {
  int64_t first = 0;
  int64_t end = 0;
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_DECODE_QUERY_H_
