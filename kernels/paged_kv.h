// kernels/paged_kv.h
//
// The K and V of one layer, scattered over pages: plain pointers and strides, as kernels on a CPU
// or a GPU take them, and as a kvp_view and kvp_pool_info give them.
//
//   entry 0: pages indices[indptr[0] .. indptr[1])     entry 1: indices[indptr[1] .. indptr[2])
//            [full][full][last_page_len[0] tokens]              ...
//
//   row of (page p, token t, head h) of K starts at  k_data + p * page + t * token + h * head
//
// A layout is nothing but strides: StridesOf makes them for NHD [page, token, head] and for HND
// [page, head, token].
//
// Multi-head latent attention keeps one row per token for all heads, whose start is also V: then V
// is K's rows again (SharesRows), with kv_heads 1 and head_dim_v <= head_dim_k.
//
// Units: strides are in elements; the head dimension has stride 1. Ownership: pointers are the
// caller's. Thread-safety: plain values. Errors: none; the caller vouches for indices and lengths.

#ifndef KVPAGER_KERNELS_PAGED_KV_H_
#define KVPAGER_KERNELS_PAGED_KV_H_

#include <cstdint>

#include "kernels/dtype.h"

namespace kvpager::kernels {

enum class Layout : uint32_t { kNhd = 0, kHnd = 1 };

struct PageStrides {
  int64_t page = 0;
  int64_t token = 0;
  int64_t head = 0;
};

// From the three strides of the C ABI, whose second and third change places between the layouts.
constexpr PageStrides StridesOf(Layout layout, const int64_t strides[3]) {
  return layout == Layout::kNhd ? PageStrides{strides[0], strides[1], strides[2]}
                                : PageStrides{strides[0], strides[2], strides[1]};
}

// Strides of a page that holds `layers` layers of K and V side by side.
struct PackedShape {
  Layout layout = Layout::kNhd;
  int32_t page_tokens = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int64_t page_stride = 0;
};
constexpr PageStrides PackedStrides(const PackedShape& shape) {
  const int64_t dim = shape.head_dim;
  return shape.layout == Layout::kNhd
             ? PageStrides{shape.page_stride, dim * shape.kv_heads, dim}
             : PageStrides{shape.page_stride, dim, dim * shape.page_tokens};
}

struct PagedKv {
  void* k_data = nullptr;  // Row (page 0, token 0, head 0).
  void* v_data = nullptr;
  PageStrides k;
  PageStrides v;
  Dtype dtype = Dtype::kF16;
  int32_t page_tokens = 0;
  int32_t kv_heads = 0;
  int32_t head_dim_k = 0;
  int32_t head_dim_v = 0;
  int32_t batch_size = 0;
  const int32_t* indptr = nullptr;         // [batch_size + 1]
  const int32_t* indices = nullptr;        // [indptr[batch_size]]
  const int32_t* last_page_len = nullptr;  // [batch_size]; 0 where an entry has no page.
  // [indptr[batch_size]], ascending per entry: which block of its sequence each page is. Null:
  // pages are blocks 0, 1, 2... of their entry. Only masks and the default query position look at
  // it.
  const int32_t* positions = nullptr;
};

constexpr bool SharesRows(const PagedKv& kv) { return kv.k_data == kv.v_data; }

constexpr int64_t TokenCount(const PagedKv& kv, int32_t entry) {
  const int64_t pages = kv.indptr[entry + 1] - kv.indptr[entry];
  return pages == 0 ? 0 : (pages - 1) * kv.page_tokens + kv.last_page_len[entry];
}

// Position within its sequence of the first token of the entry's page `page`, counted from 0.
constexpr int64_t PagePosition(const PagedKv& kv, int32_t entry, int64_t page) {
  const int64_t block = kv.positions == nullptr ? page : kv.positions[kv.indptr[entry] + page];
  return block * kv.page_tokens;
}

// Position behind the entry's last token; 0 if it has none.
constexpr int64_t EndPosition(const PagedKv& kv, int32_t entry) {
  const int64_t pages = kv.indptr[entry + 1] - kv.indptr[entry];
  return pages == 0 ? 0 : PagePosition(kv, entry, pages - 1) + kv.last_page_len[entry];
}

// Offset of the row of (entry, token, head), in elements.
constexpr int64_t RowOffset(const PagedKv& kv, const PageStrides& strides, int32_t entry,
                            int64_t token, int32_t head) {
  const int64_t page = kv.indices[kv.indptr[entry] + token / kv.page_tokens];
  return page * strides.page + token % kv.page_tokens * strides.token + head * strides.head;
}

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_PAGED_KV_H_
