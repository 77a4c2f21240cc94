#include "engine_plugin/attention_engine/new_rows.h"

#include <cstring>

#include "kernels/cpu/append.h"
#include "kernels/dtype.h"
#include "memmgr/base/units.h"

namespace kvpager::attention {
namespace {

// One row of one head from place to place.
void CopyRow(const kernels::PagedKv& from, const kernels::PagedKv& to, bool is_k, int64_t source,
             int64_t target) {
  const size_t bytes = kernels::ElementBytes(from.dtype);
  const auto* const source_data = static_cast<const uint8_t*>(is_k ? from.k_data : from.v_data);
  auto* const target_data = static_cast<uint8_t*>(is_k ? to.k_data : to.v_data);
  const auto dim = static_cast<size_t>(is_k ? from.head_dim_k : from.head_dim_v);
  std::memcpy(target_data + static_cast<size_t>(target) * bytes,
              source_data + static_cast<size_t>(source) * bytes, dim * bytes);
}

}  // namespace

NewRows::NewRows(const PoolView& pool, const Batch& batch)
    : shape_(pool.Shape(KVP_TIER_HBM)),
      shares_rows_(pool.shares_rows()),
      element_bytes_(kernels::ElementBytes(shape_.dtype)) {
  indptr_.push_back(0);
  for (const PassEntry& entry : batch.entries) {
    const auto pages =
        static_cast<int32_t>(CeilDiv(entry.new_tokens, static_cast<uint32_t>(shape_.page_tokens)));
    indptr_.push_back(indptr_.back() + pages);
    last_page_len_.push_back(static_cast<int32_t>(entry.new_tokens) -
                             (pages - 1) * shape_.page_tokens);
  }
  for (int32_t page = 0; page < indptr_.back(); ++page) indices_.push_back(page);
  // Token by token, whatever the pool's layout: nobody else reads these pages.
  const int64_t k_page = int64_t{shape_.page_tokens} * shape_.kv_heads * shape_.head_dim_k;
  const int64_t v_page =
      shares_rows_ ? 0 : int64_t{shape_.page_tokens} * shape_.kv_heads * shape_.head_dim_v;
  shape_.k = {k_page, int64_t{shape_.kv_heads} * shape_.head_dim_k, shape_.head_dim_k};
  shape_.v = shares_rows_
                 ? shape_.k
                 : kernels::PageStrides{v_page, int64_t{shape_.kv_heads} * shape_.head_dim_v,
                                        shape_.head_dim_v};
  v_offset_ = k_page * indptr_.back();
  layer_elements_ = v_offset_ + v_page * indptr_.back();
  rows_.resize(static_cast<size_t>(layer_elements_) * element_bytes_ * pool.geometry().num_layers);
}

kernels::PagedKv NewRows::Pages(uint32_t layer) const {
  kernels::PagedKv kv = shape_;
  const size_t offset = static_cast<size_t>(layer_elements_) * layer * element_bytes_;
  auto* const base = const_cast<uint8_t*>(rows_.data()) + offset;
  kv.k_data = base;
  kv.v_data = shares_rows_ ? base : base + static_cast<size_t>(v_offset_) * element_bytes_;
  kv.batch_size = static_cast<int32_t>(last_page_len_.size());
  kv.indptr = indptr_.data();
  kv.indices = indices_.data();
  kv.last_page_len = last_page_len_.data();
  return kv;
}

kernels::PagedKv NewRows::PagesOf(uint32_t layer, int32_t entry) const {
  kernels::PagedKv kv = Pages(layer);
  kv.batch_size = 1;
  kv.indptr += entry;
  kv.last_page_len += entry;
  return kv;
}

void NewRows::Write(const Batch& batch, uint32_t layer, const LayerInput& input, int32_t entry) {
  const kernels::PagedKv pages = Pages(layer);
  kernels::CpuAppend(pages, entry, NewTokensOf(batch, input, entry, pages));
}

void NewRows::CopyTo(uint32_t layer, int32_t entry, int64_t first, int64_t count,
                     const kernels::PagedKv& pages, int32_t to) const {
  const kernels::PagedKv own = Pages(layer);
  const int64_t before = kernels::TokenCount(pages, to) - count;
  for (int64_t i = 0; i < count; ++i) {
    for (int32_t head = 0; head < own.kv_heads; ++head) {
      CopyRow(own, pages, true, kernels::RowOffset(own, own.k, entry, first + i, head),
              kernels::RowOffset(pages, pages.k, to, before + i, head));
      if (kernels::SharesRows(pages)) continue;
      CopyRow(own, pages, false, kernels::RowOffset(own, own.v, entry, first + i, head),
              kernels::RowOffset(pages, pages.v, to, before + i, head));
    }
  }
}

}  // namespace kvpager::attention
