#include "tests/engine_plugin/engine_fixture.h"

#include <cstdlib>

namespace kvpager::engine {

uint32_t TransportOfTest() {
  const char* text = std::getenv("KVPAGER_TEST_TRANSPORT");
  return text != nullptr && std::string(text) == "zmq" ? KVP_TRANSPORT_ZMQ : KVP_TRANSPORT_RING;
}

OpenArguments::OpenArguments(const std::string& path, const EngineSetup& setup)
    : socket_path(path) {
  geometry.struct_size = sizeof(geometry);
  geometry.page_tokens = kPageTokens;
  geometry.num_layers = kLayers;
  geometry.layers_per_page = setup.layers_per_page;
  geometry.num_kv_heads = kHeads;
  geometry.head_dim_k = kDimK;
  geometry.head_dim_v = kDimV;
  geometry.dtype = KVP_DTYPE_F32;
  geometry.layout = setup.layout;
  options.struct_size = sizeof(options);
  options.abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR;
  options.socket_path = socket_path.c_str();
  options.pool = "test";
  options.model = "model-1";
  options.geometry = &geometry;
  options.timeout_us = setup.timeout_us;
  options.pinned_steps = setup.pinned_steps;
  options.transport = setup.transport;
}

void EngineFixture::Attach(const EngineSetup& setup) {
  setup_ = setup;
  const OpenArguments arguments(daemon_.socket_path(), setup);
  ASSERT_EQ(kvp_client_open(&arguments.options, &client_), KVP_OK) << kvp_last_error();
  pool_.struct_size = sizeof(pool_);
  ASSERT_EQ(kvp_client_pool_info(client_, &pool_), KVP_OK);
}

void EngineFixture::Detach() {
  kvp_client_close(client_);
  client_ = nullptr;
}

std::vector<kvp_block_key> EngineFixture::Keys(uint32_t seed, uint32_t count) {
  std::vector<kvp_block_key> keys(count);
  for (uint32_t i = 0; i < count; ++i) {
    kvp_hash_block(i == 0 ? nullptr : &keys[i - 1], &seed, 1, &keys[i]);
  }
  return keys;
}

kvp_seq EngineFixture::OpenSequence(const std::vector<kvp_block_key>& keys, uint32_t* reused) {
  kvp_seq seq = 0;
  kvp_reuse reuse{};
  reuse.struct_size = sizeof(reuse);
  EXPECT_EQ(kvp_seq_open(client_, keys.data(), keys.size(), &seq, &reuse), KVP_OK) << Error();
  if (reused != nullptr) *reused = reuse.tokens;
  return seq;
}

uint64_t EngineFixture::Length(kvp_seq seq) {
  uint64_t tokens = 0;
  EXPECT_EQ(kvp_seq_length(client_, seq, &tokens), KVP_OK) << Error();
  return tokens;
}

kvp_step_entry EngineFixture::Entry(kvp_seq seq, uint32_t append_tokens) {
  return kvp_step_entry{seq, append_tokens, 0, 0, KVP_ALL, 0, KVP_ALL};
}

kvp_step* EngineFixture::Begin(const std::vector<kvp_step_entry>& entries, uint32_t lane,
                               uint32_t residency) {
  const kvp_step_options options = {sizeof(kvp_step_options), lane, residency};
  kvp_step* step = nullptr;
  EXPECT_EQ(kvp_step_begin(client_, &options, entries.data(), entries.size(), &step), KVP_OK)
      << Error();
  return step;
}

ViewCopy EngineFixture::View(kvp_step* step, uint32_t group, int32_t tier) {
  kvp_view view{};
  view.struct_size = sizeof(view);
  ViewCopy copy;
  EXPECT_EQ(kvp_step_view(step, group, tier, &view), KVP_OK) << Error();
  if (view.indptr == nullptr) return copy;
  const int32_t pages = view.indptr[view.batch_size];
  copy.indptr.assign(view.indptr, view.indptr + view.batch_size + 1);
  copy.indices.assign(view.indices, view.indices + pages);
  copy.last_page_len.assign(view.last_page_len, view.last_page_len + view.batch_size);
  copy.positions.assign(view.positions, view.positions + pages);
  return copy;
}

float EngineFixture::Value(uint32_t seed, bool is_v, uint32_t layer, uint32_t head, uint32_t dim,
                           uint64_t token) {
  return static_cast<float>(seed * 100'000 + token * 1'000 + layer * 400 + head * 100 +
                            (is_v ? 50 : 0) + dim);
}

float* EngineFixture::Row(int32_t tier, bool is_v, uint32_t layer, uint32_t head, int32_t frame,
                          uint32_t slot) {
  void* k = nullptr;
  void* v = nullptr;
  EXPECT_EQ(kvp_client_layer(client_, tier, layer, &k, &v), KVP_OK) << Error();
  const int64_t* strides = is_v ? pool_.v_strides : pool_.k_strides;
  const int64_t page_stride = tier == KVP_TIER_HBM ? strides[0] : pool_.host_page_stride;
  const bool nhd = setup_.layout == KVP_LAYOUT_NHD;
  const int64_t token_stride = nhd ? strides[1] : strides[2];
  const int64_t head_stride = nhd ? strides[2] : strides[1];
  return static_cast<float*>(is_v ? v : k) + frame * page_stride + slot * token_stride +
         head * head_stride;
}

void EngineFixture::Write(kvp_step* step, uint64_t first_token, uint64_t end_token, uint32_t seed) {
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    const ViewCopy view = View(step, layer / setup_.layers_per_page);
    for (uint64_t token = first_token; token < end_token; ++token) {
      int32_t frame = -1;
      for (size_t j = 0; j < view.positions.size(); ++j) {
        if (static_cast<uint64_t>(view.positions[j]) == token / kPageTokens) {
          frame = view.indices[j];
        }
      }
      ASSERT_GE(frame, 0) << "no page for token " << token;
      for (uint32_t head = 0; head < kHeads; ++head) {
        const auto slot = static_cast<uint32_t>(token % kPageTokens);
        float* k = Row(KVP_TIER_HBM, false, layer, head, frame, slot);
        float* v = Row(KVP_TIER_HBM, true, layer, head, frame, slot);
        for (uint32_t dim = 0; dim < kDimK; ++dim) {
          k[dim] = Value(seed, false, layer, head, dim, token);
        }
        for (uint32_t dim = 0; dim < kDimV; ++dim) {
          v[dim] = Value(seed, true, layer, head, dim, token);
        }
      }
    }
  }
}

void EngineFixture::Append(kvp_seq seq, uint32_t count, uint32_t seed) {
  const uint64_t first = Length(seq);
  kvp_step* step = Begin({Entry(seq, count)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  Write(step, first, first + count, seed);
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
}

void EngineFixture::ExpectRowsIn(const ViewCopy& view, uint32_t group, int32_t tier, uint32_t seed,
                                 uint64_t end_token) {
  const uint32_t layer_first = group * setup_.layers_per_page;
  for (size_t j = 0; j < view.indices.size(); ++j) {
    for (uint32_t slot = 0; slot < kPageTokens; ++slot) {
      const uint64_t token = static_cast<uint64_t>(view.positions[j]) * kPageTokens + slot;
      if (token >= end_token) continue;
      for (uint32_t i = 0; i < setup_.layers_per_page * kHeads; ++i) {
        const uint32_t layer = layer_first + i / kHeads;
        const uint32_t head = i % kHeads;
        const float* k = Row(tier, false, layer, head, view.indices[j], slot);
        const float* v = Row(tier, true, layer, head, view.indices[j], slot);
        for (uint32_t dim = 0; dim < kDimK; ++dim) {
          ASSERT_EQ(k[dim], Value(seed, false, layer, head, dim, token));
        }
        for (uint32_t dim = 0; dim < kDimV; ++dim) {
          ASSERT_EQ(v[dim], Value(seed, true, layer, head, dim, token));
        }
      }
    }
  }
}

std::vector<EngineFixture::Origin> EngineFixture::Origins(uint64_t count, uint32_t seed) {
  std::vector<Origin> origins;
  for (uint64_t token = 0; token < count; ++token) origins.push_back({seed, token});
  return origins;
}

void EngineFixture::ExpectRows(kvp_seq seq, const std::vector<Origin>& origins) {
  ASSERT_EQ(Length(seq), origins.size());
  kvp_step* step = Begin({Entry(seq, 0)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK) << Error();
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    const ViewCopy view = View(step, layer / setup_.layers_per_page);
    for (uint64_t token = 0; token < origins.size(); ++token) {
      const int32_t frame = view.indices.at(token / kPageTokens);
      const auto slot = static_cast<uint32_t>(token % kPageTokens);
      const Origin& origin = origins[token];
      for (uint32_t head = 0; head < kHeads; ++head) {
        for (const bool is_v : {false, true}) {
          const uint32_t dim = (is_v ? kDimV : kDimK) - 1;
          EXPECT_EQ(Row(KVP_TIER_HBM, is_v, layer, head, frame, slot)[dim],
                    Value(origin.seed, is_v, layer, head, dim, origin.token))
              << "token " << token << " layer " << layer << " head " << head;
        }
      }
    }
  }
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK) << Error();
}

void EngineFixture::Barrier() {
  if (barrier_seq_ == 0) barrier_seq_ = OpenSequence();
  EXPECT_EQ(kvp_seq_resume(client_, barrier_seq_), KVP_OK) << Error();
}

}  // namespace kvpager::engine
