#include "engine_plugin/attention_engine/pool_view.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::attention {

absl::StatusOr<PoolView> PoolView::Create(kvp_client* client, const kvp_geometry& geometry,
                                          uint32_t head_dim_v) {
  PoolView pool(client, geometry, head_dim_v);
  pool.info_.struct_size = sizeof pool.info_;
  KVP_RETURN_IF_ERROR(pool.StatusOf(kvp_client_pool_info(client, &pool.info_)));
  for (const int32_t tier : {KVP_TIER_HBM, KVP_TIER_HOST}) {
    if (tier == KVP_TIER_HOST && pool.info_.frames_host == 0) continue;
    std::vector<LayerBase>& bases = pool.bases_[static_cast<size_t>(tier)];
    bases.resize(geometry.num_layers);
    for (uint32_t layer = 0; layer < geometry.num_layers; ++layer) {
      KVP_RETURN_IF_ERROR(
          pool.StatusOf(kvp_client_layer(client, tier, layer, &bases[layer].k, &bases[layer].v)));
    }
  }
  return pool;
}

absl::Status PoolView::StatusOf(kvp_status code) const {
  if (code == KVP_OK) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(code), kvp_client_error(client_));
}

absl::StatusOr<kvp_view> PoolView::ViewOf(kvp_step* step, uint32_t group, int32_t tier) const {
  kvp_view view{};
  view.struct_size = sizeof view;
  KVP_RETURN_IF_ERROR(StatusOf(kvp_step_view(step, group, tier, &view)));
  return view;
}

kernels::PagedKv PoolView::Shape(int32_t tier) const {
  const auto layout = static_cast<kernels::Layout>(geometry_.layout);
  kernels::PagedKv kv;
  kv.k = kernels::StridesOf(layout, info_.k_strides);
  kv.v = kernels::StridesOf(layout, info_.v_strides);
  if (tier == KVP_TIER_HOST) kv.k.page = kv.v.page = info_.host_page_stride;
  kv.dtype = static_cast<kernels::Dtype>(geometry_.dtype);
  kv.page_tokens = static_cast<int32_t>(geometry_.page_tokens);
  kv.kv_heads = static_cast<int32_t>(geometry_.num_kv_heads);
  kv.head_dim_k = static_cast<int32_t>(geometry_.head_dim_k);
  kv.head_dim_v = static_cast<int32_t>(head_dim_v());
  return kv;
}

kernels::PagedKv PoolView::Pages(const kvp_view& view, uint32_t layer, int32_t tier) const {
  kernels::PagedKv kv = Shape(tier);
  const LayerBase& base = bases_[static_cast<size_t>(tier)][layer];
  kv.k_data = base.k;
  kv.v_data = base.v;
  kv.batch_size = view.batch_size;
  kv.indptr = view.indptr;
  kv.indices = view.indices;
  kv.last_page_len = view.last_page_len;
  kv.positions = view.positions;
  return kv;
}

}  // namespace kvpager::attention
