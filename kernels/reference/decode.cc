#include "kernels/reference/decode.h"

#include <cmath>
#include <limits>
#include <vector>

namespace kvpager::kernels {
namespace {

std::vector<double> Logits(const PagedKv& kv, const DecodeQuery& query, const float* row,
                           int32_t entry, int32_t kv_head) {
  std::vector<double> logits(static_cast<size_t>(TokenCount(kv, entry)));
  for (size_t token = 0; token < logits.size(); ++token) {
    const int64_t offset = RowOffset(kv, kv.k, entry, static_cast<int64_t>(token), kv_head);
    double dot = 0;
    for (int32_t i = 0; i < kv.head_dim_k; ++i) {
      dot += static_cast<double>(row[i]) *
             static_cast<double>(LoadElement(kv.dtype, kv.k_data, offset + i));
    }
    logits[token] = dot * static_cast<double>(query.scale);
  }
  return logits;
}

void OneHead(const PagedKv& kv, const std::vector<double>& logits, int32_t entry, int32_t kv_head,
             float* output, float* lse) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double logit : logits) largest = std::fmax(largest, logit);
  double sum = 0;
  std::vector<double> weighted(static_cast<size_t>(kv.head_dim_v), 0.0);
  for (size_t token = 0; token < logits.size(); ++token) {
    const double weight = std::exp(logits[token] - largest);
    const int64_t offset = RowOffset(kv, kv.v, entry, static_cast<int64_t>(token), kv_head);
    sum += weight;
    for (size_t i = 0; i < weighted.size(); ++i) {
      const int64_t element = offset + static_cast<int64_t>(i);
      weighted[i] += weight * static_cast<double>(LoadElement(kv.dtype, kv.v_data, element));
    }
  }
  for (size_t i = 0; i < weighted.size(); ++i) {
    output[i] = logits.empty() ? 0.0f : static_cast<float>(weighted[i] / sum);
  }
  if (lse != nullptr) {
    *lse = logits.empty() ? -std::numeric_limits<float>::infinity()
                          : static_cast<float>(largest + std::log(sum));
  }
}

}  // namespace

void ReferenceDecode(const PagedKv& kv, const DecodeQuery& query, const DecodeOutput& output) {
  const int32_t ratio = query.query_heads / kv.kv_heads;
  for (int32_t entry = 0; entry < kv.batch_size; ++entry) {
    for (int32_t head = 0; head < query.query_heads; ++head) {
      const int64_t row = int64_t{entry} * query.query_heads + head;
      const std::vector<double> logits =
          Logits(kv, query, query.query + row * kv.head_dim_k, entry, head / ratio);
      OneHead(kv, logits, entry, head / ratio, output.output + row * kv.head_dim_v,
              output.lse == nullptr ? nullptr : output.lse + row);
    }
  }
}

}  // namespace kvpager::kernels
