#include "tools/kvpager-bench/paged_batch.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "kernels/dtype.h"

namespace kvpager::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr size_t kPatternBytes = size_t{1} << 20;
constexpr float kLargest = 2.0f;

}  // namespace

double BatchShape::bytes() const {
  const int32_t dim = head_dim_k + (shares_rows ? 0 : head_dim_v);
  return static_cast<double>(context_tokens) * entries * kv_heads * dim *
         static_cast<double>(kernels::ElementBytes(dtype));
}

double BatchShape::seen_tokens() const {
  const double queries = query_tokens;
  const double before = static_cast<double>(context_tokens) - queries;
  return entries * (queries * before + queries * (queries + 1) / 2);
}

absl::StatusOr<std::unique_ptr<PagedBatch>> PagedBatch::Make(const BatchShape& shape) {
  std::unique_ptr<PagedBatch> batch(new PagedBatch(shape));
  if (!batch->Map()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "needs ", batch->memory_bytes_ >> 20, " MiB, which is more than half of what is free"));
  }
  batch->Fill();
  batch->LayOut();
  return batch;
}

PagedBatch::~PagedBatch() {
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

bool PagedBatch::Map() {
  memory_bytes_ = static_cast<size_t>(shape_.pages() * shape_.page_elements()) *
                  kernels::ElementBytes(shape_.dtype);
  const auto free_bytes =
      static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (memory_bytes_ > free_bytes / 2) return false;
  void* const mapped =
      mmap(nullptr, memory_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return false;
  memory_ = mapped;
  madvise(memory_, memory_bytes_, MADV_HUGEPAGE);
  return true;
}

void PagedBatch::Fill() {
  std::mt19937_64 random(kSeed);
  std::uniform_real_distribution<float> draw(-kLargest, kLargest);
  std::vector<uint8_t> pattern(kPatternBytes);
  const auto elements = static_cast<int64_t>(kPatternBytes / kernels::ElementBytes(shape_.dtype));
  for (int64_t i = 0; i < elements; ++i) {
    kernels::StoreElement(shape_.dtype, pattern.data(), i, draw(random));
  }
  auto* const bytes = static_cast<uint8_t*>(memory_);
  for (size_t at = 0; at < memory_bytes_; at += kPatternBytes) {
    std::memcpy(bytes + at, pattern.data(), std::min(kPatternBytes, memory_bytes_ - at));
  }
  queries_.resize(static_cast<size_t>(shape_.entries) * static_cast<size_t>(shape_.query_tokens) *
                  static_cast<size_t>(shape_.query_heads() * shape_.head_dim_k));
  for (float& value : queries_) {  // What bfloat16 can hold, as an engine's queries.
    value = kernels::Bf16ToFloat(kernels::FloatToBf16(draw(random)));
  }
}

void PagedBatch::LayOut() {
  const auto pages = static_cast<int32_t>(shape_.pages());
  indices_.resize(static_cast<size_t>(pages));
  std::iota(indices_.begin(), indices_.end(), 0);
  std::shuffle(indices_.begin(), indices_.end(), std::mt19937_64(kSeed));
  for (int32_t entry = 0; entry <= shape_.entries; ++entry) {
    indptr_.push_back(pages / shape_.entries * entry);
    query_indptr_.push_back(shape_.query_tokens * entry);
  }
  const auto last = static_cast<int32_t>((shape_.context_tokens - 1) % shape_.page_tokens) + 1;
  last_page_len_.assign(static_cast<size_t>(shape_.entries), last);

  const int64_t k_elements = int64_t{shape_.page_tokens} * shape_.kv_heads * shape_.head_dim_k;
  const auto strides = [&](int32_t dim) {
    return kernels::PackedStrides(
        {shape_.layout, shape_.page_tokens, shape_.kv_heads, dim, shape_.page_elements()});
  };
  kv_.k_data = memory_;
  kv_.k = strides(shape_.head_dim_k);
  kv_.v_data = memory_;
  kv_.v = kv_.k;
  if (!shape_.shares_rows) {
    kv_.v_data = static_cast<uint8_t*>(memory_) +
                 static_cast<size_t>(k_elements) * kernels::ElementBytes(shape_.dtype);
    kv_.v = strides(shape_.head_dim_v);
  }
  kv_.dtype = shape_.dtype;
  kv_.page_tokens = shape_.page_tokens;
  kv_.kv_heads = shape_.kv_heads;
  kv_.head_dim_k = shape_.head_dim_k;
  kv_.head_dim_v = shape_.head_dim_v;
  kv_.batch_size = shape_.entries;
  kv_.indptr = indptr_.data();
  kv_.indices = indices_.data();
  kv_.last_page_len = last_page_len_.data();
  query_.query = queries_.data();
  query_.query_heads = shape_.query_heads();
  query_.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim_k));
  query_.query_indptr = query_indptr_.data();
}

}  // namespace kvpager::bench
