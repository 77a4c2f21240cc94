// engine_plugin/attention_engine/new_rows.h
//
// The K and V of a pass's new tokens, kept aside until the pass ends, in pages of the engine's own:
// for passes that do not have their sequences' last pages in HBM all the time. In the pool's
// element type, so that attention over them is what it will be once they are in the pool.
//
// Units: tokens. Ownership: owns the rows. Thread-safety: Write and CopyTo of different entries.
// Errors: none.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_NEW_ROWS_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_NEW_ROWS_H_

#include <cstdint>
#include <vector>

#include "engine_plugin/attention_engine/batch.h"
#include "engine_plugin/attention_engine/pool_view.h"
#include "kernels/paged_kv.h"

namespace kvpager::attention {

class NewRows {
 public:
  NewRows(const PoolView& pool, const Batch& batch);

  // Converts and keeps the entry's rows of `layer`.
  void Write(const Batch& batch, uint32_t layer, const LayerInput& input, int32_t entry);

  // The new tokens alone, entry by entry; positions count from the first of them.
  kernels::PagedKv Pages(uint32_t layer) const;
  // The same of one entry.
  kernels::PagedKv PagesOf(uint32_t layer, int32_t entry) const;

  // Copies tokens [first, first + count) of the entry to the last `count` tokens of entry `to` of
  // `pages`.
  void CopyTo(uint32_t layer, int32_t entry, int64_t first, int64_t count,
              const kernels::PagedKv& pages, int32_t to) const;

 private:
  kernels::PagedKv shape_;
  bool shares_rows_;  // V is the start of K's rows.
  size_t element_bytes_;
  int64_t layer_elements_;        // K and V of all pages of one layer.
  int64_t v_offset_;              // Of V behind K, within a layer.
  std::vector<int32_t> indptr_;   // [entries + 1]
  std::vector<int32_t> indices_;  // 0, 1, 2 ...
  std::vector<int32_t> last_page_len_;
  std::vector<uint8_t> rows_;
};

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_NEW_ROWS_H_
