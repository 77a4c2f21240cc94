// engine_plugin/attention_engine/pool_view.h
//
// The pool of a client as kernels take it: from a view of the C ABI, which lists frames, to the
// PagedKv of a layer, which has addresses and strides.
//
// Ownership: borrows the client. Thread-safety: that of the client. Errors: those of the C ABI, in
// its words.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_POOL_VIEW_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_POOL_VIEW_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine_plugin/kvpager.h"
#include "kernels/paged_kv.h"

namespace kvpager::attention {

class PoolView {
 public:
  // `head_dim_v`: of V's rows, where the geometry has none because they are the start of K's; else
  // 0.
  static absl::StatusOr<PoolView> Create(kvp_client* client, const kvp_geometry& geometry,
                                         uint32_t head_dim_v = 0);

  kvp_client* client() const { return client_; }
  const kvp_geometry& geometry() const { return geometry_; }
  const kvp_pool_info& info() const { return info_; }
  bool shares_rows() const { return geometry_.head_dim_v == 0; }
  uint32_t head_dim_v() const { return shares_rows() ? head_dim_v_ : geometry_.head_dim_v; }
  uint32_t group_of(uint32_t layer) const { return layer / geometry_.layers_per_page; }

  // What a call on the client returned.
  absl::Status StatusOf(kvp_status code) const;

  // The pages of a ready step's group in `tier`, KVP_TIER_HBM or KVP_TIER_HOST.
  absl::StatusOr<kvp_view> ViewOf(kvp_step* step, uint32_t group, int32_t tier) const;
  // The same as `layer` of that group sees them. Valid as long as the view.
  kernels::PagedKv Pages(const kvp_view& view, uint32_t layer, int32_t tier) const;
  // Shape and strides without pages.
  kernels::PagedKv Shape(int32_t tier) const;

 private:
  struct LayerBase {
    void* k = nullptr;
    void* v = nullptr;
  };

  PoolView(kvp_client* client, const kvp_geometry& geometry, uint32_t head_dim_v)
      : client_(client), geometry_(geometry), head_dim_v_(head_dim_v) {}

  kvp_client* client_;
  kvp_geometry geometry_;
  uint32_t head_dim_v_;
  kvp_pool_info info_{};
  std::array<std::vector<LayerBase>, 2> bases_;  // By tier, then by layer; host: perhaps none.
};

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_POOL_VIEW_H_
