#include "tests/e2e/test_engine.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace kvpager::e2e {
namespace {

constexpr uint32_t kNumLayers = 2;
constexpr uint64_t kStepTimeoutUs = 60'000'000;

// The 64-bit words that K (or V) of one layer of one block consists of.
uint64_t Word(uint64_t prompt, uint32_t block, uint32_t layer, bool is_v, size_t index) {
  uint64_t word = prompt * 0x9e3779b97f4a7c15ull + block;
  word = (word ^ (word >> 29)) * 0xbf58476d1ce4e5b9ull + layer * 2 + (is_v ? 1 : 0);
  word = (word ^ (word >> 32)) * 0x94d049bb133111ebull + index;
  return word ^ (word >> 31);
}

std::vector<kvp_block_key> KeysOf(uint64_t prompt, uint32_t blocks, uint32_t page_tokens) {
  std::vector<kvp_block_key> keys(blocks);
  std::vector<uint32_t> tokens(page_tokens);
  for (uint32_t block = 0; block < blocks; ++block) {
    for (uint32_t i = 0; i < page_tokens; ++i) {
      tokens[i] = static_cast<uint32_t>(Word(prompt, block, 0, false, i));
    }
    kvp_hash_block(block == 0 ? nullptr : &keys[block - 1], tokens.data(), tokens.size(),
                   &keys[block]);
  }
  return keys;
}

}  // namespace

kvp_status TestEngine::Note(kvp_status status) {
  if (status != KVP_OK) error_ = client_ == nullptr ? kvp_last_error() : kvp_client_error(client_);
  return status;
}

void TestEngine::Copy(void* target, const void* source, size_t bytes) const {
  if (options_.copy == nullptr) {
    std::memcpy(target, source, bytes);
  } else {
    options_.copy(target, source, bytes);
  }
}

kvp_status TestEngine::Open(const EngineOptions& options) {
  Close();
  options_ = options;
  kvp_geometry geometry = {};
  geometry.struct_size = sizeof(geometry);
  geometry.page_tokens = options.page_tokens;
  geometry.num_layers = kNumLayers;
  geometry.layers_per_page = options.layers_per_page;
  geometry.num_kv_heads = options.num_kv_heads;
  geometry.head_dim_k = options.head_dim;
  geometry.head_dim_v = options.head_dim;
  geometry.dtype = KVP_DTYPE_F16;
  geometry.layout = KVP_LAYOUT_NHD;
  kvp_client_options client_options = {};
  client_options.struct_size = sizeof(client_options);
  client_options.abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR;
  client_options.socket_path = options_.socket_path.c_str();
  client_options.pool = options_.pool.c_str();
  client_options.name_space = options_.name_space.c_str();
  client_options.model = options_.model.c_str();
  client_options.engine_name = options.engine_name;
  client_options.memory = options_.memory;
  client_options.geometry = &geometry;
  client_options.timeout_us = options.call_timeout_us;
  if (const kvp_status status = Note(kvp_client_open(&client_options, &client_));
      status != KVP_OK) {
    return status;
  }
  pool_.struct_size = sizeof(pool_);
  return Note(kvp_client_pool_info(client_, &pool_));
}

void TestEngine::Close() {
  kvp_client_close(client_);
  client_ = nullptr;
}

Served TestEngine::Serve(uint64_t prompt, uint32_t blocks, uint32_t flags) {
  return ServeOne(prompt, blocks, flags, /*evict=*/false);
}

Served TestEngine::ServeAndEvict(uint64_t prompt, uint32_t blocks) {
  return ServeOne(prompt, blocks, 0, /*evict=*/true);
}

Served TestEngine::ServeOne(uint64_t prompt, uint32_t blocks, uint32_t flags, bool evict) {
  Served served;
  kvp_seq sequence = 0;
  served.status = OpenPrompt(prompt, blocks, &sequence, &served.reused_blocks);
  if (served.status != KVP_OK) return served;
  served.status = Forward(sequence, prompt, blocks, served);
  if (served.status == KVP_OK) {
    served.status = NamePrompt(sequence, prompt, blocks, flags);
  }
  if (served.status == KVP_OK && evict) {
    served.status = Note(kvp_seq_evict(client_, sequence, KVP_TIER_NVME));
  }
  // Whatever happened: the handle goes. Its own failure tells nothing new.
  static_cast<void>(kvp_seq_close(client_, sequence) == KVP_OK);
  return served;
}

kvp_status TestEngine::OpenPrompt(uint64_t prompt, uint32_t blocks, kvp_seq* sequence,
                                  uint32_t* reused_blocks) {
  const std::vector<kvp_block_key> keys = KeysOf(prompt, blocks, options_.page_tokens);
  kvp_reuse reuse = {};
  reuse.struct_size = sizeof(reuse);
  const kvp_status status = Note(kvp_seq_open(client_, keys.data(), keys.size(), sequence, &reuse));
  *reused_blocks = static_cast<uint32_t>(reuse.tokens / options_.page_tokens);
  return status;
}

kvp_status TestEngine::NamePrompt(kvp_seq sequence, uint64_t prompt, uint32_t blocks,
                                  uint32_t flags) {
  const std::vector<kvp_block_key> keys = KeysOf(prompt, blocks, options_.page_tokens);
  return Note(kvp_seq_name(client_, sequence, 0, keys.data(), keys.size(), flags, kStepTimeoutUs));
}

kvp_status TestEngine::Begin(kvp_seq sequence, uint32_t append_tokens, kvp_step** step) {
  kvp_step_entry entry = {};
  entry.seq = sequence;
  entry.append_tokens = append_tokens;
  entry.num_groups = KVP_ALL;
  entry.num_blocks = KVP_ALL;
  return Note(kvp_step_begin(client_, nullptr, &entry, 1, step));
}

kvp_status TestEngine::WriteLastRow(kvp_step* step, uint64_t tokens) {
  kvp_view view = {};
  view.struct_size = sizeof(view);
  kvp_status status = Note(kvp_step_view(step, 0, KVP_TIER_HBM, &view));
  void* k = nullptr;
  void* v = nullptr;
  if (status == KVP_OK) status = Note(kvp_client_layer(client_, KVP_TIER_HBM, 0, &k, &v));
  if (status != KVP_OK) return status;
  const auto block = static_cast<int64_t>((tokens - 1) / options_.page_tokens);
  const auto row = static_cast<int64_t>((tokens - 1) % options_.page_tokens);
  const int64_t at = view.indices[block] * pool_.k_strides[0] + row * pool_.k_strides[1];
  const std::vector<char> written(size_t{2} * options_.head_dim, 0x5a);
  Copy(static_cast<char*>(k) + 2 * at, written.data(), written.size());
  return KVP_OK;
}

kvp_status TestEngine::Forward(kvp_seq sequence, uint64_t prompt, uint32_t blocks, Served& served) {
  kvp_step* step = nullptr;
  kvp_status status =
      Begin(sequence, (blocks - served.reused_blocks) * options_.page_tokens, &step);
  if (status != KVP_OK) return status;
  status = Note(kvp_step_wait(step, kStepTimeoutUs));
  if (status == KVP_OK) status = CheckAndFill(step, prompt, blocks, served);
  const kvp_status end = kvp_step_end(step, status == KVP_OK ? KVP_STEP_KEEP : KVP_STEP_DISCARD);
  return status == KVP_OK ? Note(end) : status;
}

kvp_status TestEngine::CheckAndFill(kvp_step* step, uint64_t prompt, uint32_t blocks,
                                    Served& served) {
  const size_t words =
      size_t{options_.page_tokens} * options_.num_kv_heads * options_.head_dim / 4;  // 2 bytes each
  std::vector<uint64_t> wanted(words);
  std::vector<uint64_t> found(words);
  const size_t bytes = words * sizeof(uint64_t);
  std::vector<bool> wrong(blocks, false);
  for (uint32_t layer = 0; layer < kNumLayers; ++layer) {
    kvp_view view = {};
    view.struct_size = sizeof(view);
    kvp_status status =
        Note(kvp_step_view(step, layer / options_.layers_per_page, KVP_TIER_HBM, &view));
    if (status != KVP_OK) return status;
    void* data[2] = {nullptr, nullptr};
    status = Note(kvp_client_layer(client_, KVP_TIER_HBM, layer, &data[0], &data[1]));
    if (status != KVP_OK) return status;
    for (uint32_t item = 0; item < 2 * blocks; ++item) {
      const uint32_t block = item / 2;
      const bool is_v = item % 2 == 1;
      const int64_t stride = 2 * (is_v ? pool_.v_strides[0] : pool_.k_strides[0]);
      char* place = static_cast<char*>(data[item % 2]) + view.indices[block] * stride;
      for (size_t i = 0; i < words; ++i) wanted[i] = Word(prompt, block, layer, is_v, i);
      if (block >= served.reused_blocks) {
        Copy(place, wanted.data(), bytes);
      } else {
        Copy(found.data(), place, bytes);
        if (found != wanted) wrong[block] = true;
      }
    }
  }
  for (const bool block_wrong : wrong) served.mismatched_blocks += block_wrong ? 1 : 0;
  return KVP_OK;
}

}  // namespace kvpager::e2e
