#include "tools/kvpager-replay/engine.h"

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpager-replay/block_keys.h"

namespace kvpager::replay {
namespace {

constexpr uint32_t kCallTimeoutUs = 30'000'000;
// Changes whenever content.h does, so that a daemon that kept blocks does not serve old ones.
constexpr char kModel[] = "kvpager-replay/1";

kvp_geometry ToAbi(const Geometry& geometry) {
  kvp_geometry abi = {};
  abi.struct_size = sizeof abi;
  abi.page_tokens = geometry.page_tokens;
  abi.num_layers = geometry.num_layers;
  abi.layers_per_page = geometry.layers_per_page;
  abi.num_kv_heads = geometry.num_kv_heads;
  abi.head_dim_k = geometry.head_dim_k;
  abi.head_dim_v = geometry.head_dim_v;
  abi.dtype = static_cast<uint32_t>(geometry.dtype);
  abi.layout = static_cast<uint32_t>(geometry.layout);
  return abi;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Attach(const Options& options, uint32_t index) {
  std::unique_ptr<Engine> engine(new Engine);
  engine->geometry_ = options.geometry;
  const std::string name_space = NamespaceOf(options, index);
  engine->name_space_ = NamespaceIdentity(name_space);
  const std::string engine_name = absl::StrCat("kvpager-replay-", index + 1);
  const kvp_geometry geometry = ToAbi(options.geometry);
  kvp_client_options abi = {};
  abi.struct_size = sizeof abi;
  abi.abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR;
  abi.socket_path = options.socket.empty() ? nullptr : options.socket.c_str();
  abi.pool = options.pool.c_str();
  abi.name_space = name_space.c_str();
  abi.token = options.token.empty() ? nullptr : options.token.c_str();
  abi.model = kModel;
  abi.engine_name = engine_name.c_str();
  abi.geometry = &geometry;
  abi.timeout_us = kCallTimeoutUs;
  abi.pinned_steps = options.pinned_steps ? 1 : 0;
  abi.transport = options.transport;
  if (const kvp_status code = kvp_client_open(&abi, &engine->client_); code != KVP_OK) {
    return absl::Status(static_cast<absl::StatusCode>(code), kvp_last_error());
  }
  KVP_RETURN_IF_ERROR(engine->MapLayers());
  return engine;
}

Engine::~Engine() { kvp_client_close(client_); }

absl::Status Engine::StatusOf(kvp_status code) const {
  if (code == KVP_OK) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(code), kvp_client_error(client_));
}

absl::Status Engine::MapLayers() {
  pool_.struct_size = sizeof pool_;
  KVP_RETURN_IF_ERROR(StatusOf(kvp_client_pool_info(client_, &pool_)));
  k_layers_.resize(geometry_.num_layers);
  v_layers_.resize(geometry_.num_layers);
  for (uint32_t layer = 0; layer < geometry_.num_layers; ++layer) {
    KVP_RETURN_IF_ERROR(StatusOf(
        kvp_client_layer(client_, KVP_TIER_HBM, layer, &k_layers_[layer], &v_layers_[layer])));
  }
  return absl::OkStatus();
}

uint64_t Engine::block_places() const {
  return uint64_t{blocks_hbm()} + pool_.frames_host / pool_.num_groups + pool_.blocks_nvme;
}

kernels::PagedKv Engine::LayerOf(const kvp_view& view, uint32_t layer) const {
  const auto layout = static_cast<kernels::Layout>(geometry_.layout);
  kernels::PagedKv kv;
  kv.k_data = k_layers_[layer];
  kv.v_data = v_layers_[layer];
  kv.k = kernels::StridesOf(layout, pool_.k_strides);
  kv.v = kernels::StridesOf(layout, pool_.v_strides);
  kv.dtype = static_cast<kernels::Dtype>(geometry_.dtype);
  kv.page_tokens = static_cast<int32_t>(geometry_.page_tokens);
  kv.kv_heads = static_cast<int32_t>(geometry_.num_kv_heads);
  kv.head_dim_k = static_cast<int32_t>(geometry_.head_dim_k);
  kv.head_dim_v = static_cast<int32_t>(geometry_.head_dim_v);
  kv.batch_size = view.batch_size;
  kv.indptr = view.indptr;
  kv.indices = view.indices;
  kv.last_page_len = view.last_page_len;
  return kv;
}

}  // namespace kvpager::replay
