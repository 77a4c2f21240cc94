#include "tests/kernels/cuda_cases.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace kvpager::kernels {
namespace {

constexpr uint64_t kSeed = 4711;

PagedShape Shape(Dtype dtype, int32_t head_dim, int32_t ratio) {
  PagedShape shape;
  shape.dtype = dtype;
  shape.head_dim_k = shape.head_dim_v = head_dim;
  shape.query_heads = shape.kv_heads * ratio;
  shape.padding = 16;  // Every page starts at a multiple of 16 bytes, whatever the type.
  return shape;
}

PagedShape LatentShape(Dtype dtype, int32_t query_heads) {
  PagedShape shape = Shape(dtype, 576, 1);
  shape.head_dim_v = 512;
  shape.kv_heads = 1;
  shape.query_heads = query_heads;
  shape.shares_rows = true;
  return shape;
}

void Poison(const PagedKv& kv, int32_t entry, int64_t token) {
  for (int32_t head = 0; head < kv.kv_heads; ++head) {
    for (const int64_t i : {int64_t{0}, int64_t{kv.head_dim_v} - 1}) {
      StoreElement(kv.dtype, kv.k_data, RowOffset(kv, kv.k, entry, token, head) + i,
                   std::numeric_limits<float>::quiet_NaN());
      StoreElement(kv.dtype, kv.v_data, RowOffset(kv, kv.v, entry, token, head) + i,
                   std::numeric_limits<float>::quiet_NaN());
    }
  }
}

// Each draft sees itself and its ancestors.
std::vector<uint64_t> DraftBits(const std::vector<int32_t>& parents, int32_t words) {
  std::vector<uint64_t> bits(parents.size() * static_cast<size_t>(words));
  for (size_t draft = 0; draft < parents.size(); ++draft) {
    for (auto at = static_cast<int32_t>(draft); at >= 0; at = parents[static_cast<size_t>(at)]) {
      bits[draft * static_cast<size_t>(words) + static_cast<size_t>(at / 64)] |= uint64_t{1}
                                                                                 << (at % 64);
    }
  }
  return bits;
}

}  // namespace

void EachDecode(Dtype dtype, const CudaCase& run) {
  for (const int32_t head_dim : {64, 96, 128, 256}) {
    for (const int32_t ratio : {1, 8}) {
      PagedShape shape = Shape(dtype, head_dim, ratio);
      if (ratio == 8) shape.layout = Layout::kHnd;
      const PagedFixture fixture(shape, {1, 16, 150}, kSeed);
      run(fixture, fixture.query(),
          "head_dim " + std::to_string(head_dim) + ", ratio " + std::to_string(ratio));
    }
  }
}

void EachLatent(Dtype dtype, const CudaCase& run) {
  for (const int32_t heads : {1, 16, 40}) {
    const PagedFixture fixture(LatentShape(dtype, heads), {1, 75}, kSeed);
    run(fixture, fixture.query(), std::to_string(heads) + " latent heads");
  }
}

void EachRatio(const CudaCase& run) {
  for (int32_t ratio = 1; ratio <= 17; ++ratio) {
    const PagedFixture fixture(Shape(Dtype::kF16, 64, ratio), {37}, kSeed);
    run(fixture, fixture.query(), "ratio " + std::to_string(ratio));
  }
}

void EachLength(const CudaCase& run) {
  for (const int32_t page_tokens : {1, 3, 16, 64}) {
    PagedShape shape = Shape(Dtype::kBf16, 64, 2);
    shape.page_tokens = page_tokens;
    const PagedFixture fixture(shape, {0, 1, 15, 16, 17, 63, 64, 65, 0, 257, 2}, kSeed);
    run(fixture, fixture.query(), "pages of " + std::to_string(page_tokens));
  }
}

void EachChunk(const CudaCase& run) {
  for (const Layout layout : {Layout::kNhd, Layout::kHnd}) {
    for (const int32_t ratio : {1, 3}) {
      PagedShape shape = Shape(Dtype::kF16, 64, ratio);
      shape.layout = layout;
      // All of a sequence, its end, one token, none, more than a row tile.
      const PagedFixture fixture(shape, {20, 90, 33, 7, 140}, {20, 17, 1, 0, 50}, kSeed);
      run(fixture, fixture.query(), "ratio " + std::to_string(ratio));
    }
  }
  PagedFixture fixture(Shape(Dtype::kF16, 64, 2), {90}, {10}, kSeed);
  const int64_t first = 41;
  AttentionQuery query = fixture.query();
  query.query_first = &first;
  for (int64_t token = first + 10; token < 90; ++token) Poison(fixture.kv(), 0, token);
  run(fixture, query, "query tokens 41 to 50 of 90");
}

void EachWindow(const CudaCase& run) {
  for (const int64_t window : {1, 7, 100, 250, 1000}) {
    for (const int64_t sinks : {0, 20}) {
      for (const int32_t queries : {1, 9}) {
        const PagedFixture fixture(Shape(Dtype::kF16, 64, 2), {300, 5},
                                   {queries, std::min(queries, 5)}, kSeed);
        AttentionQuery query = fixture.query();
        query.mask.window_tokens = window;
        query.mask.sink_tokens = sinks;
        for (int64_t token = sinks; token < 300 - queries + 1 - window; ++token) {
          Poison(fixture.kv(), 0, token);
        }
        run(fixture, query,
            "window " + std::to_string(window) + ", sinks " + std::to_string(sinks) + ", queries " +
                std::to_string(queries));
      }
    }
  }
}

void EachTree(const CudaCase& run) {
  const std::vector<int32_t> small = {-1, 0, 0, 1, 1, 2, -1, 6};
  std::vector<int32_t> large;  // Two words, and across tiles.
  for (int32_t i = 0; i < 70; ++i) large.push_back((i - 1) / 2 - (i == 0 ? 1 : 0));
  for (const std::vector<int32_t>& parents : {small, large}) {
    const int32_t words = parents.size() > 64 ? 2 : 1;
    const std::vector<uint64_t> bits = DraftBits(parents, words);
    const auto drafts = static_cast<int32_t>(parents.size());
    for (const int64_t context : {0, 64, 131}) {
      for (const int64_t window : {0, 10}) {
        const PagedFixture fixture(Shape(Dtype::kF16, 64, 2), {context + drafts}, {drafts}, kSeed);
        AttentionQuery query = fixture.query();
        query.mask.draft_bits = bits.data();
        query.mask.draft_words = words;
        query.mask.window_tokens = window;
        query.mask.sink_tokens = window == 0 ? 0 : 2;
        run(fixture, query, std::to_string(drafts) + " drafts behind " + std::to_string(context));
      }
    }
  }
  // A level alone: its query tokens are fewer than the drafts that they may see.
  PagedFixture fixture(Shape(Dtype::kF16, 64, 2), {50 + 6}, {2}, kSeed);
  const std::vector<uint64_t> bits = {0b010011, 0b100101};  // 3 is nobody's ancestor.
  const int64_t tree = 50;
  AttentionQuery query = fixture.query();
  query.mask.draft_bits = bits.data();
  query.mask.draft_words = 1;
  query.mask.draft_first = &tree;
  Poison(fixture.kv(), 0, 53);
  // With a window of two, each of them has more drafts in sight than the window has tokens.
  for (const int64_t window : {0, 2}) {
    query.mask.window_tokens = window;
    run(fixture, query, "drafts 4 and 5 of 6, window " + std::to_string(window));
  }
}

// The batch of `fixture`, but every second block of it is somewhere else.
void PartOfASequence(const CudaCase& run) {
  PagedFixture fixture(Shape(Dtype::kF16, 64, 2), {16 * 9 + 5}, {20}, kSeed);
  std::vector<int32_t> positions(10);
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(2 * i + 1);
  const int64_t first = 16 * 19;
  AttentionQuery query = fixture.query();
  query.query_first = &first;
  for (const int64_t window : {0, 100}) {
    query.mask.window_tokens = window;
    query.mask.sink_tokens = 20;
    fixture.UsePositions(positions.data());
    run(fixture, query, "every second block, window " + std::to_string(window));
  }
}

void RowsThatSeeNothing(const CudaCase& run) {
  const PagedFixture fixture(Shape(Dtype::kF16, 64, 2), {40}, {2}, kSeed);
  const int64_t first = -1;  // The first query token stands before the sequence.
  AttentionQuery query = fixture.query();
  query.query_first = &first;
  run(fixture, query, "one query token before the sequence, one on it");
}

void AnyOf(uint64_t seed, const CudaCase& run) {
  std::mt19937_64 random(seed);
  const auto between = [&](int32_t least, int32_t most) {
    return std::uniform_int_distribution<int32_t>(least, most)(random);
  };
  const auto of = [&](std::vector<int32_t> choices) {
    return choices[static_cast<size_t>(between(0, static_cast<int32_t>(choices.size()) - 1))];
  };
  const auto dtype = static_cast<Dtype>(between(0, 3));
  PagedShape shape = Shape(dtype, of({64, 96, 128, 256}), 1);
  shape.layout = static_cast<Layout>(between(0, 1));
  shape.page_tokens = of({1, 3, 16, 16, 32, 64, 100});
  shape.kv_heads = between(1, 3);
  shape.query_heads = shape.kv_heads * between(1, 16);
  if (between(0, 4) == 0) shape = LatentShape(dtype, between(1, 32));
  std::vector<int64_t> lengths;
  std::vector<int32_t> queries;
  for (int32_t entries = between(1, 3); entries > 0; --entries) {
    queries.push_back(of({1, 1, 2, between(1, 12)}));
    lengths.push_back(queries.back() + of({0, between(0, 40), between(0, 300)}));
  }
  const PagedFixture fixture(shape, lengths, queries, random());
  AttentionQuery query = fixture.query();
  std::vector<uint64_t> bits(fixture.query_tokens());
  for (uint64_t& word : bits) word = random() & 0xfff;
  if (between(0, 2) == 0) {
    query.mask.draft_bits = bits.data();
    query.mask.draft_words = 1;
  }
  if (between(0, 2) == 0) {
    query.mask.window_tokens = between(1, 150);
    query.mask.sink_tokens = between(0, 20);
  }
  run(fixture, query, "KVPAGER_TEST_SEED=" + std::to_string(seed));
}

}  // namespace kvpager::kernels
