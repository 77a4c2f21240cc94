#include "engine_plugin/attention_engine/cost_model.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/strings/str_format.h"
#include "kernels/cpu/split_attention.h"
#include "kernels/work_plan.h"

namespace kvpager::attention {
namespace {

constexpr size_t kScratchBytes = size_t{16} << 20;  // More than the caches near a core hold.
constexpr int kRounds = 3;                          // The fastest counts.

double SecondsOf(const std::function<void()>& work) {
  double fastest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    fastest = std::min(fastest, taken.count());
  }
  return fastest;
}

}  // namespace

Rates MeasureRates(const PoolView& pool, const Workers& workers, int32_t query_heads) {
  const size_t page_bytes = pool.info().frame_bytes_hbm;
  const size_t pages = std::max<size_t>(kScratchBytes / page_bytes, 1);
  // Zeros are numbers in every type of element.
  std::vector<uint8_t> scratch(pages * page_bytes);
  std::vector<int32_t> indices(pages);
  std::iota(indices.begin(), indices.end(), 0);
  const std::vector<int32_t> indptr = {0, static_cast<int32_t>(pages)};
  const auto page_tokens = static_cast<int32_t>(pool.geometry().page_tokens);
  kernels::PagedKv kv = pool.Shape(KVP_TIER_HBM);
  const size_t k_bytes = size_t{pool.geometry().page_tokens} * pool.geometry().num_kv_heads *
                         pool.geometry().head_dim_k * kernels::ElementBytes(kv.dtype);
  kv.k_data = scratch.data();
  kv.v_data = pool.shares_rows() ? scratch.data() : scratch.data() + k_bytes;
  kv.batch_size = 1;
  kv.indptr = indptr.data();
  kv.indices = indices.data();
  kv.last_page_len = &page_tokens;
  const std::vector<float> rows(static_cast<size_t>(query_heads * kv.head_dim_k));
  kernels::AttentionQuery query;
  query.query = rows.data();
  query.query_heads = query_heads;
  kernels::SplitAttention attention(kv, query, kernels::PlanWork(kv, query, workers.count()));
  const double attend_seconds =
      SecondsOf([&] { workers.Run([&](int32_t worker) { attention.Attend(kv, query, worker); }); });
  std::vector<uint8_t> target(scratch.size());
  const double copy_seconds =
      SecondsOf([&] { std::memcpy(target.data(), scratch.data(), scratch.size()); });
  // One layer of each page was attended.
  const double attended = static_cast<double>(scratch.size()) / pool.geometry().layers_per_page;
  return {.attend = attended / attend_seconds,
          .copy = static_cast<double>(scratch.size()) / copy_seconds};
}

Choice ChooseMode(const Rates& rates, const PassSize& size) {
  constexpr double kMs = 1e3;
  const double all = static_cast<double>(size.bytes);
  const double in_place = all / rates.attend;
  if (size.bytes <= size.hbm_bytes) {
    return {Mode::kResident, absl::StrFormat("resident: all fits in HBM; %.2f ms a token to attend",
                                             kMs * in_place)};
  }
  const double outside = all - static_cast<double>(size.hbm_bytes);
  const double streamed = std::max(outside / rates.copy, in_place);
  const std::string times =
      absl::StrFormat("%.2f ms a token in place, %.2f through HBM, apart from reads from NVMe",
                      kMs * in_place, kMs * streamed);
  if (size.host_readable && in_place <= streamed) return {Mode::kSplit, "split: " + times};
  return {Mode::kStreamed, "streamed: " + times};
}

}  // namespace kvpager::attention
