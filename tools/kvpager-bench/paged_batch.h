// tools/kvpager-bench/paged_batch.h
//
// The K and V of one layer of a batch, in permuted frames, and its queries: what a kernel is
// measured on. The content is random, repeated every MiB.
//
// Ownership: its memory, in huge pages where there are any. Errors: Make, when memory is short.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_PAGED_BATCH_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_PAGED_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "kernels/paged_kv.h"

namespace kvpager::bench {

struct BatchShape {
  kernels::Layout layout = kernels::Layout::kNhd;
  kernels::Dtype dtype = kernels::Dtype::kF16;
  int32_t page_tokens = 16;
  int32_t kv_heads = 8;
  int32_t ratio = 4;  // Query heads per K and V head.
  int32_t head_dim_k = 128;
  int32_t head_dim_v = 128;
  bool shares_rows = false;  // V is the start of K's rows.
  int64_t context_tokens = 0;
  int32_t entries = 1;
  int32_t query_tokens = 1;  // Of each entry, its last ones.

  int32_t query_heads() const { return kv_heads * ratio; }
  int64_t page_elements() const {
    return int64_t{page_tokens} * kv_heads * (head_dim_k + (shares_rows ? 0 : head_dim_v));
  }
  int64_t pages() const { return (context_tokens + page_tokens - 1) / page_tokens * entries; }
  // Of all K and V rows.
  double bytes() const;
  // Multiplications and additions of the logits, and of the weighted sums.
  double logit_operations() const { return seen_tokens() * 2 * query_heads() * head_dim_k; }
  double value_operations() const { return seen_tokens() * 2 * query_heads() * head_dim_v; }

 private:
  double seen_tokens() const;  // Summed over the query tokens.
};

class PagedBatch {
 public:
  static absl::StatusOr<std::unique_ptr<PagedBatch>> Make(const BatchShape& shape);
  ~PagedBatch();
  PagedBatch(const PagedBatch&) = delete;
  PagedBatch& operator=(const PagedBatch&) = delete;

  const kernels::PagedKv& kv() const { return kv_; }
  const kernels::AttentionQuery& query() const { return query_; }

 private:
  explicit PagedBatch(const BatchShape& shape) : shape_(shape) {}
  bool Map();
  void Fill();
  void LayOut();

  BatchShape shape_;
  void* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  std::vector<int32_t> indptr_, indices_, last_page_len_, query_indptr_;
  std::vector<float> queries_;
  kernels::PagedKv kv_;
  kernels::AttentionQuery query_;
};

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_PAGED_BATCH_H_
