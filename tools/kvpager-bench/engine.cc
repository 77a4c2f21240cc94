#include "tools/kvpager-bench/engine.h"

#include "memmgr/base/status_macros.h"

namespace kvpager::bench {
namespace {

constexpr uint32_t kCallTimeoutUs = 60'000'000;
constexpr uint32_t kBytesPerDim = 2 * 2;  // float16, K and V.

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Attach(const EngineOptions& options) {
  kvp_geometry geometry = {};
  geometry.struct_size = sizeof geometry;
  geometry.page_tokens = options.page_tokens;
  geometry.num_layers = 1;
  geometry.layers_per_page = 1;
  geometry.num_kv_heads = 1;
  geometry.head_dim_k = options.page_bytes / options.page_tokens / kBytesPerDim;
  geometry.head_dim_v = geometry.head_dim_k;
  geometry.dtype = KVP_DTYPE_F16;
  geometry.layout = KVP_LAYOUT_NHD;
  kvp_client_options abi = {};
  abi.struct_size = sizeof abi;
  abi.abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR;
  abi.socket_path = options.socket.c_str();
  abi.pool = options.pool.c_str();
  abi.name_space = options.name_space.c_str();
  abi.model = "kvpager-bench/1";
  abi.engine_name = options.name.c_str();
  abi.geometry = &geometry;
  abi.timeout_us = kCallTimeoutUs;
  abi.transport = options.transport;
  if (options.spin_us > 0) abi.spin_us = options.spin_us;
  std::unique_ptr<Engine> engine(new Engine());
  engine->page_tokens_ = options.page_tokens;
  if (const kvp_status code = kvp_client_open(&abi, &engine->client_); code != KVP_OK) {
    return absl::Status(static_cast<absl::StatusCode>(code), kvp_last_error());
  }
  return engine;
}

Engine::~Engine() { kvp_client_close(client_); }

absl::Status Engine::StatusOf(kvp_status code) const {
  if (code == KVP_OK) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(code), kvp_client_error(client_));
}

absl::Status Engine::RunStep(const kvp_step_entry* entries, size_t count) const {
  kvp_step* step = nullptr;
  KVP_RETURN_IF_ERROR(StatusOf(kvp_step_begin(client_, nullptr, entries, count, &step)));
  const absl::Status waited = StatusOf(kvp_step_wait(step, kCallTimeoutUs));
  const absl::Status ended =
      StatusOf(kvp_step_end(step, waited.ok() ? KVP_STEP_KEEP : KVP_STEP_DISCARD));
  return waited.ok() ? ended : waited;
}

kvp_step_entry EntryOf(kvp_seq sequence, uint32_t tokens) {
  kvp_step_entry entry = {};
  entry.seq = sequence;
  entry.append_tokens = tokens;
  entry.num_groups = KVP_ALL;
  entry.num_blocks = KVP_ALL;
  return entry;
}

}  // namespace kvpager::bench
