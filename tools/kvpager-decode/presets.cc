#include "tools/kvpager-decode/presets.h"

#include <array>

#include "kernels/dtype.h"

namespace kvpager::decode {
namespace {

struct Row {
  const char* name;
  uint32_t layers;
  uint32_t query_heads;
  uint32_t kv_heads;
  uint32_t head_dim_k;
  uint32_t head_dim_v;  // Of the output.
  bool shares_rows;     // V is the start of K's rows.
  uint32_t dtype;
  uint32_t page_tokens;
};

// Layers, heads and dimensions are those of the models' config.json files; page_tokens make pages
// of 64 KiB or so.
constexpr std::array kRows = {
    Row{"small", 4, 8, 2, 64, 64, false, KVP_DTYPE_F16, 128},
    Row{"llama-3-8b", 32, 32, 8, 128, 128, false, KVP_DTYPE_BF16, 16},
    Row{"llama-3-70b", 80, 64, 8, 128, 128, false, KVP_DTYPE_BF16, 16},
    Row{"qwen3-8b", 36, 32, 8, 128, 128, false, KVP_DTYPE_BF16, 16},
    Row{"deepseek-v3", 61, 128, 1, 576, 512, true, KVP_DTYPE_BF16, 64},
};

ModelShape ShapeOf(const Row& row) {
  ModelShape model;
  model.name = row.name;
  model.geometry.struct_size = sizeof(kvp_geometry);
  model.geometry.page_tokens = row.page_tokens;
  model.geometry.num_layers = row.layers;
  model.geometry.layers_per_page = 1;
  model.geometry.num_kv_heads = row.kv_heads;
  model.geometry.head_dim_k = row.head_dim_k;
  model.geometry.head_dim_v = row.shares_rows ? 0 : row.head_dim_v;
  model.geometry.dtype = row.dtype;
  model.geometry.layout = KVP_LAYOUT_NHD;
  model.query_heads = row.query_heads;
  model.head_dim_v = row.head_dim_v;
  return model;
}

}  // namespace

std::vector<std::string> PresetNames() {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.emplace_back(row.name);
  return names;
}

std::optional<ModelShape> FindPreset(const std::string& name) {
  for (const Row& row : kRows) {
    if (name == row.name) return ShapeOf(row);
  }
  return std::nullopt;
}

uint64_t TokenBytes(const ModelShape& model) {
  const kvp_geometry& geometry = model.geometry;
  const uint64_t elements = uint64_t{geometry.num_layers} * geometry.num_kv_heads *
                            (geometry.head_dim_k + geometry.head_dim_v);
  return elements * kernels::ElementBytes(static_cast<kernels::Dtype>(geometry.dtype));
}

}  // namespace kvpager::decode
