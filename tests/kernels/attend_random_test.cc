// Proves that the CPU kernels say what the reference says for geometries and masks that nobody
// chose: one fresh seed per run, printed, and KVPAGER_TEST_SEED runs it again.

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "tests/kernels/attention_check.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {
namespace {

constexpr int kCases = 40;

uint64_t Seed() {
  static const uint64_t seed = [] {
    const char* const given = std::getenv("KVPAGER_TEST_SEED");
    const auto now = std::chrono::system_clock::now().time_since_epoch().count();
    const uint64_t value = given != nullptr
                               ? std::strtoull(given, nullptr, 10)
                               : static_cast<uint64_t>(now) ^ static_cast<uint64_t>(getpid());
    std::printf("KVPAGER_TEST_SEED=%llu\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return seed;
}

class Any {
 public:
  explicit Any(uint64_t seed) : random_(seed) {}
  int32_t Between(int32_t least, int32_t most) {
    return std::uniform_int_distribution<int32_t>(least, most)(random_);
  }
  template <typename T>
  T Of(const std::vector<T>& choices) {
    return choices[static_cast<size_t>(Between(0, static_cast<int32_t>(choices.size()) - 1))];
  }
  uint64_t Bits() { return random_(); }

 private:
  std::mt19937_64 random_;
};

PagedShape AnyShape(Any& any) {
  PagedShape shape;
  shape.layout = any.Of<Layout>({Layout::kNhd, Layout::kHnd});
  shape.dtype = any.Of<Dtype>({Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3});
  shape.page_tokens = any.Of<int32_t>({1, 3, 16, 16, 32, 64, 100});
  shape.kv_heads = any.Between(1, 4);
  shape.query_heads = shape.kv_heads * any.Between(1, 16);
  shape.head_dim_k = shape.head_dim_v = any.Of<int32_t>({64, 96, 128, 256, 20});
  if (any.Between(0, 7) == 0) {
    shape.shares_rows = true;
    shape.kv_heads = 1;
    shape.head_dim_k = 576;
    shape.head_dim_v = 512;
  }
  return shape;
}

class Random : public OnEachTarget {};
KVPAGER_ON_EACH_TARGET(Random);

TEST_P(Random, GeometriesAndMasksEqualTheReference) {
  Any any(Seed());
  for (int i = 0; i < kCases; ++i) {
    const PagedShape shape = AnyShape(any);
    std::vector<int64_t> lengths;
    std::vector<int32_t> queries;
    for (int32_t entries = any.Between(1, 3); entries > 0; --entries) {
      queries.push_back(any.Of<int32_t>({1, 1, 2, any.Between(1, 12)}));
      lengths.push_back(queries.back() +
                        any.Of<int32_t>({0, any.Between(0, 40), any.Between(0, 200)}));
    }
    const PagedFixture fixture(shape, lengths, queries, any.Bits());
    AttentionQuery query = fixture.query();
    std::vector<uint64_t> bits(fixture.query_tokens());
    for (uint64_t& word : bits) word = any.Bits() & 0xfff;
    if (any.Between(0, 2) == 0) {
      query.mask.draft_bits = bits.data();
      query.mask.draft_words = 1;
    }
    if (any.Between(0, 2) == 0) {
      query.mask.window_tokens = any.Between(1, 150);
      query.mask.sink_tokens = any.Between(0, 20);
    }
    ExpectMatches(fixture, fixture.kv(), query,
                  "case " + std::to_string(i) + ", KVPAGER_TEST_SEED=" + std::to_string(Seed()));
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

}  // namespace
}  // namespace kvpager::kernels
