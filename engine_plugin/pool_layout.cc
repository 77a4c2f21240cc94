#include "engine_plugin/pool_layout.h"

#include "absl/strings/str_cat.h"

namespace kvpager::engine {

absl::StatusOr<Geometry> ToGeometry(const kvp_geometry& geometry) {
  if (geometry.dtype > KVP_DTYPE_F8_E4M3) {
    return absl::InvalidArgumentError(
        absl::StrCat("geometry.dtype is ", geometry.dtype, "; it must be one of KVP_DTYPE_*"));
  }
  if (geometry.layout > KVP_LAYOUT_HND) {
    return absl::InvalidArgumentError(
        absl::StrCat("geometry.layout is ", geometry.layout, "; it must be one of KVP_LAYOUT_*"));
  }
  Geometry result;
  result.page_tokens = geometry.page_tokens;
  result.num_layers = geometry.num_layers;
  result.layers_per_page = geometry.layers_per_page;
  result.num_kv_heads = geometry.num_kv_heads;
  result.head_dim_k = geometry.head_dim_k;
  result.head_dim_v = geometry.head_dim_v;
  result.dtype = static_cast<Dtype>(geometry.dtype);
  result.layout = static_cast<KvLayout>(geometry.layout);
  return result;
}

kvp_pool_info PoolInfoOf(const PoolInfo& pool, const Geometry& geometry) {
  kvp_pool_info info{};
  info.num_groups = pool.num_groups;
  info.frames_hbm = static_cast<uint32_t>(pool.frames_hbm);
  info.frames_host = static_cast<uint32_t>(pool.frames_host);
  info.frame_bytes_hbm = pool.frame_bytes_hbm;
  info.frame_bytes_host = pool.frame_bytes_host;
  info.blocks_nvme = pool.blocks_nvme;
  const auto page_stride = static_cast<int64_t>(pool.frame_bytes_hbm / geometry.element_bytes());
  const auto fill = [&](int64_t head_dim, int64_t* strides) {
    strides[0] = page_stride;
    // NHD: [page, token, head]; HND: [page, head, token].
    const uint32_t inner =
        geometry.layout == KvLayout::kNhd ? geometry.num_kv_heads : geometry.page_tokens;
    strides[1] = inner * head_dim;
    strides[2] = head_dim;
  };
  fill(geometry.head_dim_k, info.k_strides);
  fill(geometry.head_dim_v == 0 ? geometry.head_dim_k : geometry.head_dim_v, info.v_strides);
  info.host_page_stride = static_cast<int64_t>(pool.frame_bytes_host / geometry.element_bytes());
  return info;
}

}  // namespace kvpager::engine
