// tests/kernels/paged_fixture.h
//
// A paged K and V to test kernels on, and queries: page indices permuted, every row that no entry
// owns poisoned with NaN, so that a kernel which reads one too far cannot pass.

#ifndef KVPAGER_TESTS_KERNELS_PAGED_FIXTURE_H_
#define KVPAGER_TESTS_KERNELS_PAGED_FIXTURE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/attention.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

struct PagedShape {
  Layout layout = Layout::kNhd;
  Dtype dtype = Dtype::kF16;
  int32_t page_tokens = 16;
  int32_t kv_heads = 2;
  int32_t query_heads = 4;
  int32_t head_dim_k = 64;
  int32_t head_dim_v = 64;
  bool shares_rows = false;  // V is the start of K's rows (latent attention).
  int32_t padding = 8;       // Elements between pages.
};

class PagedFixture {
 public:
  // One query token per entry.
  PagedFixture(const PagedShape& shape, const std::vector<int64_t>& lengths, uint64_t seed)
      : PagedFixture(shape, lengths, {}, seed) {}

  // As many query tokens per entry as `query_counts` says; one each if it is empty.
  PagedFixture(const PagedShape& shape, const std::vector<int64_t>& lengths,
               const std::vector<int32_t>& query_counts, uint64_t seed)
      : shape_(shape), random_(seed) {
    LayOut(lengths);
    Fill();
    query_tokens_ = lengths.size();
    if (!query_counts.empty()) {
      query_indptr_.push_back(0);
      for (const int32_t count : query_counts) {
        query_indptr_.push_back(query_indptr_.back() + count);
      }
      query_tokens_ = static_cast<size_t>(query_indptr_.back());
    }
    query_.resize(query_tokens_ * static_cast<size_t>(shape.query_heads * shape.head_dim_k));
    for (float& value : query_) value = Draw();
  }

  const PagedKv& kv() const { return kv_; }
  AttentionQuery query() const {
    AttentionQuery query;
    query.query = query_.data();
    query.query_heads = shape_.query_heads;
    query.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim_k));
    if (!query_indptr_.empty()) query.query_indptr = query_indptr_.data();
    return query;
  }
  size_t query_tokens() const { return query_tokens_; }
  size_t output_size() const { return lse_size() * static_cast<size_t>(shape_.head_dim_v); }
  size_t lse_size() const { return query_tokens_ * static_cast<size_t>(shape_.query_heads); }
  // From now on the queries are what bfloat16 can hold, as those of most engines are.
  void RoundQueries() {
    for (float& value : query_) value = Bf16ToFloat(FloatToBf16(value));
  }
  // kv() has these positions from now on; they stay the caller's.
  void UsePositions(const int32_t* positions) { kv_.positions = positions; }
  float Draw() { return std::uniform_real_distribution<float>(-2.0f, 2.0f)(random_); }
  std::vector<uint8_t>& bytes() { return bytes_; }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  void LayOut(const std::vector<int64_t>& lengths) {
    int32_t pages = 0;
    indptr_.push_back(0);
    for (const int64_t length : lengths) {
      const int64_t count = (length + shape_.page_tokens - 1) / shape_.page_tokens;
      pages += static_cast<int32_t>(count);
      indptr_.push_back(pages);
      last_.push_back(
          static_cast<int32_t>(count == 0 ? 0 : length - (count - 1) * shape_.page_tokens));
    }
    indices_.resize(static_cast<size_t>(pages) * 2 + 1);  // Half of the pages belong to nobody.
    std::iota(indices_.begin(), indices_.end(), 0);
    std::shuffle(indices_.begin(), indices_.end(), random_);

    const int64_t k_page = int64_t{shape_.page_tokens} * shape_.kv_heads * shape_.head_dim_k;
    const int64_t v_page =
        shape_.shares_rows ? 0 : int64_t{shape_.page_tokens} * shape_.kv_heads * shape_.head_dim_v;
    const int64_t stride = k_page + v_page + shape_.padding;
    bytes_.resize(indices_.size() * static_cast<size_t>(stride) * ElementBytes(shape_.dtype));
    kv_.k_data = bytes_.data();
    kv_.v_data = bytes_.data() + static_cast<size_t>(k_page) * ElementBytes(shape_.dtype);
    kv_.k = PackedStrides(
        {shape_.layout, shape_.page_tokens, shape_.kv_heads, shape_.head_dim_k, stride});
    kv_.v = PackedStrides(
        {shape_.layout, shape_.page_tokens, shape_.kv_heads, shape_.head_dim_v, stride});
    if (shape_.shares_rows) {
      kv_.v_data = kv_.k_data;
      kv_.v = kv_.k;
    }
    kv_.dtype = shape_.dtype;
    kv_.page_tokens = shape_.page_tokens;
    kv_.kv_heads = shape_.kv_heads;
    kv_.head_dim_k = shape_.head_dim_k;
    kv_.head_dim_v = shape_.head_dim_v;
    kv_.batch_size = static_cast<int32_t>(lengths.size());
    kv_.indptr = indptr_.data();
    kv_.indices = indices_.data();
    kv_.last_page_len = last_.data();
  }

  void Fill() {
    const auto elements = static_cast<int64_t>(bytes_.size() / ElementBytes(shape_.dtype));
    for (int64_t i = 0; i < elements; ++i) {
      StoreElement(shape_.dtype, bytes_.data(), i, std::numeric_limits<float>::quiet_NaN());
    }
    for (int32_t entry = 0; entry < kv_.batch_size; ++entry) {
      for (int64_t token = 0; token < TokenCount(kv_, entry); ++token) {
        for (int32_t head = 0; head < kv_.kv_heads; ++head) {
          const int64_t k = RowOffset(kv_, kv_.k, entry, token, head);
          const int64_t v = RowOffset(kv_, kv_.v, entry, token, head);
          for (int32_t i = 0; i < kv_.head_dim_k; ++i) {
            StoreElement(kv_.dtype, kv_.k_data, k + i, Draw());
          }
          for (int32_t i = 0; i < kv_.head_dim_v && !shape_.shares_rows; ++i) {
            StoreElement(kv_.dtype, kv_.v_data, v + i, Draw());
          }
        }
      }
    }
  }

  PagedShape shape_;
  std::mt19937_64 random_;
  std::vector<uint8_t> bytes_;
  std::vector<int32_t> indptr_;
  std::vector<int32_t> indices_;
  std::vector<int32_t> last_;
  std::vector<int32_t> query_indptr_;
  size_t query_tokens_ = 0;
  std::vector<float> query_;
  PagedKv kv_;
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_TESTS_KERNELS_PAGED_FIXTURE_H_
