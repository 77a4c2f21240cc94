#include "tools/kvpager-decode/content.h"

namespace kvpager::decode {
namespace {

// splitmix64 (Steele, Lea, Flood 2014).
uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

constexpr uint32_t kPerWord = 12;  // Elements of 5 bits out of one random word.

void FillRow(uint64_t place, uint32_t dim, float* row) {
  for (uint32_t first = 0; first < dim; first += kPerWord) {
    uint64_t bits = Mix(place + first);
    const uint32_t end = first + kPerWord < dim ? first + kPerWord : dim;
    for (uint32_t i = first; i < end; ++i, bits >>= 5) {
      row[i] = static_cast<float>(static_cast<int32_t>(bits & 31) - 16) * 0.125f;
    }
  }
}

}  // namespace

uint64_t Content::Place(Part part, uint32_t layer, uint64_t token, uint32_t head) const {
  const uint64_t where = (static_cast<uint64_t>(part) << 32 | layer) << 24 | head;
  return Mix(Mix(seed_ ^ where) ^ token);
}

void Content::K(uint32_t layer, uint64_t token, uint32_t kv_head, float* row) const {
  FillRow(Place(Part::kK, layer, token, kv_head), model_.geometry.head_dim_k, row);
}

void Content::V(uint32_t layer, uint64_t token, uint32_t kv_head, float* row) const {
  const bool shared = model_.geometry.head_dim_v == 0;
  FillRow(Place(shared ? Part::kK : Part::kV, layer, token, kv_head), model_.head_dim_v, row);
}

void Content::Query(uint32_t layer, uint64_t token, uint32_t query_head, float* row) const {
  const uint32_t kv_head = query_head / (model_.query_heads / model_.geometry.num_kv_heads);
  if (query_head % 2 == 1) {
    FillRow(Place(Part::kQuery, layer, token, query_head), model_.geometry.head_dim_k, row);
    return;
  }
  K(layer, Place(Part::kNeedle, layer, token, query_head) % (token + 1), kv_head, row);
  for (uint32_t i = 0; i < model_.geometry.head_dim_k; ++i) row[i] *= 2;
}

}  // namespace kvpager::decode
