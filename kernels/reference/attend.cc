#include "kernels/reference/attend.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace kvpager::kernels {
namespace {

// Index in [query tokens of the batch, query heads].
int64_t IndexOf(const AttentionQuery& query, const ReferenceRow& row) {
  return int64_t{FirstQuery(query, row.entry) + row.token} * query.query_heads + row.head;
}

int64_t PositionOf(const PagedKv& kv, int32_t entry, int64_t token) {
  const int64_t page = token / kv.page_tokens;
  const int64_t block = kv.positions == nullptr ? page : kv.positions[kv.indptr[entry] + page];
  return block * kv.page_tokens + token % kv.page_tokens;
}

bool BitOf(const uint64_t* words, int64_t bit) {
  return ((words[bit / 64] >> (bit % 64)) & 1) != 0;
}

// The words of the mask's comment in attention.h, one condition each.
bool IsSeen(const PagedKv& kv, const AttentionQuery& query, const ReferenceRow& row,
            int64_t position) {
  const AttentionMask& mask = query.mask;
  const int64_t first = query.query_first != nullptr
                            ? query.query_first[row.entry]
                            : PositionOf(kv, row.entry, TokenCount(kv, row.entry) - 1) + 1 -
                                  QueryCount(query, row.entry);
  int64_t own = first + row.token;  // The position that the query token would have without drafts.
  if (mask.draft_bits != nullptr) {
    const int64_t tree = mask.draft_first != nullptr ? mask.draft_first[row.entry] : first;
    const uint64_t* const words =
        mask.draft_bits + int64_t{FirstQuery(query, row.entry) + row.token} * mask.draft_words;
    if (position >= tree) {
      return position - tree < int64_t{64} * mask.draft_words && BitOf(words, position - tree);
    }
    own = tree - 1;
    for (int64_t bit = 0; bit < int64_t{64} * mask.draft_words; ++bit) own += BitOf(words, bit);
  }
  if (position > own) return false;
  if (mask.window_tokens == 0) return true;
  return position < mask.sink_tokens || position > own - mask.window_tokens;
}

double Logit(const PagedKv& kv, const AttentionQuery& query, const ReferenceRow& row,
             int64_t token) {
  const float* const q = query.query + IndexOf(query, row) * kv.head_dim_k;
  const int32_t kv_head = row.head / (query.query_heads / kv.kv_heads);
  const int64_t offset = RowOffset(kv, kv.k, row.entry, token, kv_head);
  double dot = 0;
  for (int32_t i = 0; i < kv.head_dim_k; ++i) {
    dot += static_cast<double>(q[i]) *
           static_cast<double>(LoadElement(kv.dtype, kv.k_data, offset + i));
  }
  return dot * static_cast<double>(query.scale);
}

struct SeenToken {
  int64_t token;
  double logit;
};

std::vector<SeenToken> SeenTokens(const PagedKv& kv, const AttentionQuery& query,
                                  const ReferenceRow& row) {
  std::vector<SeenToken> seen;
  for (int64_t token = 0; token < TokenCount(kv, row.entry); ++token) {
    if (!IsSeen(kv, query, row, PositionOf(kv, row.entry, token))) continue;
    seen.push_back({token, Logit(kv, query, row, token)});
  }
  return seen;
}

}  // namespace

ReferenceResult ReferenceAttendRow(const PagedKv& kv, const AttentionQuery& query,
                                   const ReferenceRow& row) {
  const std::vector<SeenToken> seen = SeenTokens(kv, query, row);
  ReferenceResult result{std::vector<float>(static_cast<size_t>(kv.head_dim_v), 0.0f),
                         -std::numeric_limits<float>::infinity()};
  if (seen.empty()) return result;
  double largest = -std::numeric_limits<double>::infinity();
  for (const SeenToken& one : seen) largest = std::fmax(largest, one.logit);
  const int32_t kv_head = row.head / (query.query_heads / kv.kv_heads);
  double sum = 0;
  std::vector<double> weighted(static_cast<size_t>(kv.head_dim_v), 0.0);
  for (const SeenToken& one : seen) {
    const double weight = std::exp(one.logit - largest);
    const int64_t offset = RowOffset(kv, kv.v, row.entry, one.token, kv_head);
    sum += weight;
    for (size_t i = 0; i < weighted.size(); ++i) {
      const int64_t element = offset + static_cast<int64_t>(i);
      weighted[i] += weight * static_cast<double>(LoadElement(kv.dtype, kv.v_data, element));
    }
  }
  for (size_t i = 0; i < weighted.size(); ++i) {
    result.output[i] = static_cast<float>(weighted[i] / sum);
  }
  result.lse = static_cast<float>(largest + std::log(sum));
  return result;
}

void ReferenceAttend(const PagedKv& kv, const AttentionQuery& query,
                     const AttentionOutput& output) {
  for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
    for (int32_t token = 0; token < QueryCount(query, entry); ++token) {
      for (int32_t head = 0; head < query.query_heads; ++head) {
        const ReferenceRow row = {entry, token, head};
        const ReferenceResult result = ReferenceAttendRow(kv, query, row);
        const int64_t index = IndexOf(query, row);
        std::copy(result.output.begin(), result.output.end(),
                  output.output + index * kv.head_dim_v);
        if (output.lse != nullptr) output.lse[index] = result.lse;
      }
    }
  }
}

}  // namespace kvpager::kernels
