#include "kernels/cpu/token_block.h"

#include <algorithm>

#include "kernels/dtype.h"
#include "kernels/mask.h"

namespace kvpager::kernels::internal {

BlockReader::BlockReader(const PagedKv& kv, const AttentionQuery& query, int32_t entry,
                         TokenRange range)
    : kv_(kv),
      query_(query),
      entry_(entry),
      query_count_(QueryCount(query, entry)),
      token_(range.first),
      end_(range.end) {}

BlockReader::Seen BlockReader::SeenOf(int64_t first, int64_t end) const {
  Seen seen = Seen::kNone;
  for (int32_t token = 0; token < query_count_; ++token) {
    const Sight sight = SightOf(kv_, query_, entry_, token);
    if (SeesAll(sight, first, end)) return Seen::kAll;
    if (!SeesNone(sight, first, end)) seen = Seen::kSome;
  }
  return seen;
}

bool BlockReader::IsSeen(int64_t position) const {
  for (int32_t token = 0; token < query_count_; ++token) {
    if (Sees(SightOf(kv_, query_, entry_, token), position)) return true;
  }
  return false;
}

void BlockReader::Add(int64_t page, int64_t first, int64_t end, Seen seen,
                      TokenBlock& block) const {
  const int64_t frame = kv_.indices[kv_.indptr[entry_] + page];
  const int64_t position = PagePosition(kv_, entry_, page);
  const auto bytes = static_cast<int64_t>(ElementBytes(kv_.dtype));
  int32_t count = block.count;
  for (int64_t token = first; token < end; ++token) {
    if (seen == Seen::kSome && !IsSeen(position + token)) continue;
    block.k_row[count] = (frame * kv_.k.page + token * kv_.k.token) * bytes;
    block.v_row[count] = (frame * kv_.v.page + token * kv_.v.token) * bytes;
    block.position[count] = position + token;
    ++count;
  }
  block.count = count;
}

void BlockReader::Read(TokenBlock& block) {
  block.count = 0;
  while (token_ < end_ && block.count < kBlockTokens) {
    const int64_t page = token_ / kv_.page_tokens;
    const int64_t first = token_ - page * kv_.page_tokens;
    const int64_t room = std::min<int64_t>(kBlockTokens - block.count, end_ - token_);
    const int64_t end = std::min<int64_t>(kv_.page_tokens, first + room);
    const int64_t position = PagePosition(kv_, entry_, page);
    const Seen seen = SeenOf(position + first, position + end);
    if (seen != Seen::kNone) Add(page, first, end, seen, block);
    token_ += end - first;
  }
  if (block.count == 0) return;
  const int32_t last = block.count - 1;
  for (int32_t i = block.count; i < kBlockTokens + kTilePadding; ++i) {
    block.k_row[i] = block.k_row[last];
    block.v_row[i] = block.v_row[last];
  }
}

uint64_t SeenBits(const PagedKv& kv, const AttentionQuery& query, int32_t entry, int32_t token,
                  const TokenBlock& block) {
  const uint64_t all =
      block.count == kBlockTokens ? ~uint64_t{0} : (uint64_t{1} << block.count) - 1;
  const Sight sight = SightOf(kv, query, entry, token);
  if (SeesAll(sight, block.position[0], block.position[block.count - 1] + 1)) return all;
  uint64_t bits = 0;
  for (int32_t i = 0; i < block.count; ++i) {
    bits |= uint64_t{Sees(sight, block.position[i])} << i;
  }
  return bits;
}

}  // namespace kvpager::kernels::internal
