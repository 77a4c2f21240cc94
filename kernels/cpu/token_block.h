// kernels/cpu/token_block.h
//
// The walk over an entry's pages: up to 64 tokens at a time, as the places of their rows, wherever
// pages end. Tokens that no query token of the call sees are left out, so their rows are never
// read.
//
//   pages   [ f9: t0 t1 t2 t3 ][ f2: t4 t5 t6 t7 ]  ->  block { k_row[], v_row[], position[] }
//
// Units: rows in bytes from k_data and v_data, of head 0. Thread-safety: none. Errors: none.

#ifndef KVPAGER_KERNELS_CPU_TOKEN_BLOCK_H_
#define KVPAGER_KERNELS_CPU_TOKEN_BLOCK_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels::internal {

inline constexpr int32_t kBlockTokens = 64;  // One bit each in a word.
inline constexpr int32_t kTilePadding =
    16;  // A kernel takes whole tiles of at most so many tokens.

struct TokenBlock {
  int32_t count = 0;  // 0: the walk is over.
  // From count on they repeat the last token, so that a kernel may always take a whole tile.
  int64_t k_row[kBlockTokens + kTilePadding];
  int64_t v_row[kBlockTokens + kTilePadding];
  int64_t position[kBlockTokens];
};

class BlockReader {
 public:
  // Borrows `kv` and `query`. REQUIRES: range within the entry's tokens.
  BlockReader(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range);

  void Read(TokenBlock& block);

 private:
  enum class Seen : uint8_t { kNone, kSome, kAll };

  Seen SeenOf(int64_t first, int64_t end) const;
  bool IsSeen(int64_t position) const;
  void Add(int64_t page, int64_t first, int64_t end, Seen seen, TokenBlock& block) const;

  const PagedKv& kv_;
  const AttentionQuery& query_;
  int32_t entry_;
  int32_t query_count_;
  int64_t token_;
  int64_t end_;
};

// Bit i: the query token sees the block's token i. Bits from count on are 0.
uint64_t SeenBits(const PagedKv& kv, const AttentionQuery& query, int32_t entry, int32_t token,
                  const TokenBlock& block);

}  // namespace kvpager::kernels::internal

#endif  // KVPAGER_KERNELS_CPU_TOKEN_BLOCK_H_
