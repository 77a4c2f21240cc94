#include "tools/kvpager-decode/oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kvpager::decode {
namespace {

// Of all tokens up to the query's own, scaled so that the largest is 1.
std::vector<double> Weights(const ModelShape& model, const Content& content, const Sample& sample,
                            uint32_t kv_head) {
  const uint32_t dim = model.geometry.head_dim_k;
  std::vector<float> query(dim);
  std::vector<float> row(dim);
  content.Query(sample.layer, sample.token, sample.query_head, query.data());
  std::vector<double> weights;
  weights.reserve(sample.token + 1);
  for (uint64_t token = 0; token <= sample.token; ++token) {
    content.K(sample.layer, token, kv_head, row.data());
    double logit = 0;
    for (uint32_t i = 0; i < dim; ++i) logit += double{query[i]} * row[i];
    weights.push_back(logit / std::sqrt(static_cast<double>(dim)));
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  for (double& weight : weights) weight = std::exp(weight - largest);
  return weights;
}

}  // namespace

double LargestError(const ModelShape& model, const Content& content, const Sample& sample) {
  const uint32_t kv_head = sample.query_head / (model.query_heads / model.geometry.num_kv_heads);
  const std::vector<double> weights = Weights(model, content, sample, kv_head);
  std::vector<double> expected(model.head_dim_v, 0);
  std::vector<float> row(model.head_dim_v);
  double sum = 0;
  for (uint64_t token = 0; token <= sample.token; ++token) {
    content.V(sample.layer, token, kv_head, row.data());
    for (uint32_t i = 0; i < model.head_dim_v; ++i) expected[i] += weights[token] * row[i];
    sum += weights[token];
  }
  double largest = 0;
  for (uint32_t i = 0; i < model.head_dim_v; ++i) {
    const double error = std::abs(sample.output[i] - expected[i] / sum);
    largest =
        std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(largest, error);
  }
  return largest;
}

}  // namespace kvpager::decode
