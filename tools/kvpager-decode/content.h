// tools/kvpager-decode/content.h
//
// K, V and queries of a sequence that nobody has to keep: each row is a function of the seed and of
// where it is, so that a check makes it again.
//
// Elements of K and V are multiples of 1/8 in [-2, 2): every type of page holds them exactly. Every
// other query head looks for one earlier token (its query is twice that token's K, which outweighs
// all others): a page that is missing, stale or out of place is seen. The others look at all tokens
// about alike.
//
// Thread-safety: const. Errors: none.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_CONTENT_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_CONTENT_H_

#include <cstdint>

#include "tools/kvpager-decode/options.h"

namespace kvpager::decode {

class Content {
 public:
  Content(const ModelShape& model, uint64_t seed) : model_(model), seed_(seed) {}

  // [head_dim_k]
  void K(uint32_t layer, uint64_t token, uint32_t kv_head, float* row) const;
  // [head_dim_v]: the start of K's row where the model has it so.
  void V(uint32_t layer, uint64_t token, uint32_t kv_head, float* row) const;
  // [head_dim_k], of the token at position `token`.
  void Query(uint32_t layer, uint64_t token, uint32_t query_head, float* row) const;

 private:
  enum class Part : uint64_t { kK, kV, kQuery, kNeedle };
  uint64_t Place(Part part, uint32_t layer, uint64_t token, uint32_t head) const;

  const ModelShape model_;
  const uint64_t seed_;
};

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_CONTENT_H_
