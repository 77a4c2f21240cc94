// kernels/cpu/attend-inl.h
//
// Attention over a range of an entry's tokens, for one element type. This and the other -inl.h
// files are compiled once per instruction set by each attend_<type>.cc, and Highway picks one at
// run time.
//
//   for each block of up to 64 tokens            token_block.h
//     for each K and V head
//       for each group of up to 8 query rows     that share the head: grouped heads, query tokens
//         logits, softmax, values                logits-inl.h, softmax-inl.h, values-inl.h
//
// Meanwhile the rows of the next block are fetched (fetch_ahead.h).

#include <cstdint>
#include <limits>
#include <type_traits>

#include "hwy/highway.h"
#include "kernels/attention_state.h"
#include "kernels/cpu/fetch_ahead.h"
#include "kernels/cpu/logits-inl.h"
#include "kernels/cpu/logits_bf16-inl.h"
#include "kernels/cpu/rows-inl.h"
#include "kernels/cpu/softmax-inl.h"
#include "kernels/cpu/target.h"
#include "kernels/cpu/token_block.h"
#include "kernels/cpu/values-inl.h"

#if defined(KVPAGER_KERNELS_CPU_ATTEND_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KVPAGER_KERNELS_CPU_ATTEND_INL_H_
#undef KVPAGER_KERNELS_CPU_ATTEND_INL_H_
#else
#define KVPAGER_KERNELS_CPU_ATTEND_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace kvpager::kernels::HWY_NAMESPACE {

using internal::FetchAhead;
using internal::kBlockTokens;
using internal::TokenBlock;

// What is the same for all rows and blocks of a call.
struct Call {
  const PagedKv& kv;
  const AttentionQuery& query;
  int32_t entry;
  int32_t ratio;  // Query heads per K and V head.
  AttentionState<float>* states;
  bool dots;  // Dot products of bfloat16.
};

// One K and V head of one block.
struct HeadBlock {
  const TokenBlock& tokens;
  int32_t head;
  HeadRows keys;
  HeadRows values;
};

// -infinity where the query token of a row does not see the token.
template <int kRows>
HWY_INLINE void HideUnseen(const Call& call, const TokenBlock& block, int32_t row_first,
                           float* HWY_RESTRICT logits) {
  constexpr int kTokens = kTileTokens<kRows>;
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  const int32_t count = block.count;
  const int32_t padded = (count + kTokens - 1) / kTokens * kTokens;
  const uint64_t all = count == kBlockTokens ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  uint64_t seen = 0;
  int32_t token_of_seen = -1;
  for (int r = 0; r < kRows; ++r) {
    const int32_t token = (row_first + r) / call.ratio;
    if (token != token_of_seen) {
      seen = internal::SeenBits(call.kv, call.query, call.entry, token, block);
      token_of_seen = token;
    }
    for (uint64_t hidden = all & ~seen; hidden != 0; hidden &= hidden - 1) {
      const int32_t i = __builtin_ctzll(hidden);
      logits[i / kTokens * kLanes + r * kTokens + i % kTokens] = kHidden;
    }
    for (int32_t i = count; i < padded; ++i) {
      logits[i / kTokens * kLanes + r * kTokens + i % kTokens] = kHidden;
    }
  }
}

// kRows query rows from `row_first` on, counted over the query tokens and grouped heads of the K
// and V head.
template <typename Row, int kRows>
HWY_INLINE void AttendRows(const Call& call, const HeadBlock& block, int32_t row_first) {
  alignas(64) float logits[kTileFloatsMax];
  float corrections[kRows];
  const float* queries[kRows];
  AttentionState<float>* states[kRows];
  const int64_t rows_before = int64_t{FirstQuery(call.query, call.entry)} * call.query.query_heads;
  for (int32_t r = 0; r < kRows; ++r) {
    const int32_t row = row_first + r;
    const int64_t index = int64_t{row / call.ratio} * call.query.query_heads +
                          block.head * call.ratio + row % call.ratio;
    queries[r] = call.query.query + (rows_before + index) * call.kv.head_dim_k;
    states[r] = call.states + index;
  }
  const int32_t tokens = block.tokens.count;
  const float factor = call.query.scale * Row::kFactor;
  const bool dots = std::is_same_v<Row, Bf16Row> && call.dots;
  if (!dots || !DotLogits<kRows>(queries, call.kv.head_dim_k, factor, block.keys, tokens, logits)) {
    alignas(64) float aligned[kRows * kAlignedDimMax];
    if constexpr (kRows > 1) AlignQueries<kRows>(call.kv.head_dim_k, queries, aligned);
    Logits<Row, kRows>(queries, call.kv.head_dim_k, factor, block.keys, tokens, logits);
  }
  HideUnseen<kRows>(call, block.tokens, row_first, logits);
  Softmax<kRows>(tokens, Row::kFactor, logits, states, corrections);
  AddValues<Row, kRows>(logits, corrections, call.kv.head_dim_v, block.values, tokens, states);
}

// `rows` at most kMost.
template <typename Row, int kMost>
HWY_INLINE void AttendSomeRows(const Call& call, const HeadBlock& block, int32_t row_first,
                               int32_t rows) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return AttendSomeRows<Row, kMost - 1>(call, block, row_first, rows);
  }
  AttendRows<Row, kMost>(call, block, row_first);
}

// All query rows of one K and V head, in groups of the same size as far as that goes.
template <typename Row>
HWY_NOINLINE void AttendHead(const Call& call, HeadBlock& block) {
  const int32_t rows = QueryCount(call.query, call.entry) * call.ratio;
  FetchAhead nothing;
  int32_t groups = (rows + kRowsMax - 1) / kRowsMax;
  for (int32_t row = 0; row < rows; --groups) {
    const int32_t count = (rows - row + groups - 1) / groups;
    AttendSomeRows<Row, kRowsMax>(call, block, row, count);
    row += count;
    block.keys.ahead = &nothing;  // Once is enough.
    block.values.ahead = &nothing;
  }
}

template <typename Row>
void AttendRange(const PagedKv& kv, const AttentionQuery& query, int32_t entry, TokenRange range,
                 AttentionState<float>* states) {
  const Call call = {kv,     query,
                     entry,  query.query_heads / kv.kv_heads,
                     states, internal::UsesBf16Dot() && FitsDots(kv.head_dim_k)};
  internal::BlockReader reader(kv, query, entry, range);
  TokenBlock blocks[2];
  reader.Read(blocks[0]);
  for (int which = 0; blocks[which].count > 0; which ^= 1) {
    const TokenBlock& now = blocks[which];
    TokenBlock& next = blocks[which ^ 1];
    reader.Read(next);
    FetchAhead keys_ahead;
    FetchAhead values_ahead;
    if (next.count > 0) {
      keys_ahead = FetchAhead(kv, kv.k_data, kv.k, kv.head_dim_k, next.k_row, next.count);
      if (!SharesRows(kv)) {
        values_ahead = FetchAhead(kv, kv.v_data, kv.v, kv.head_dim_v, next.v_row, next.count);
      }
    }
    const auto* keys = static_cast<const uint8_t*>(kv.k_data);
    const auto* values = static_cast<const uint8_t*>(kv.v_data);
    for (int32_t head = 0; head < kv.kv_heads; ++head) {
      HeadBlock block = {
          now, head, {keys, now.k_row, &keys_ahead}, {values, now.v_row, &values_ahead}};
      keys += kv.k.head * Row::kBytes;
      values += kv.v.head * Row::kBytes;
      AttendHead<Row>(call, block);
    }
  }
}

}  // namespace kvpager::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // KVPAGER_KERNELS_CPU_ATTEND_INL_H_
