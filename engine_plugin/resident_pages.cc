#include "engine_plugin/resident_pages.h"

#include <algorithm>
#include <vector>

#include "engine_plugin/sequence.h"
#include "ipc/page_table_layout.h"

namespace kvpager::engine {
namespace {

constexpr int32_t kAbsent = -1;

}  // namespace

bool ResidentPages::Refresh(const Source& source, uint32_t first, uint32_t end,
                            std::vector<Watch>& watches) {
  if (groups_.size() <= source.group) groups_.resize(size_t{source.group} + 1);
  Group& row = groups_[source.group];
  if (row.frames.size() < source.blocks_count) Cover(source, row);
  Extent* extent = row.extents.begin();
  Extent* const extents_end = row.extents.end();
  if (first > 0) {
    extent = std::partition_point(extent, extents_end,
                                  [first](const Extent& other) { return other.end <= first; });
  }
  for (; extent != extents_end && extent->first < end; ++extent) {
    const uint64_t counted = extent->counter->load(std::memory_order_seq_cst);
    if (!extent->read || extent->missing > 0 || counted != extent->counted) {
      extent->counted = counted;
      Read(source, row, *extent);
    }
    watches.push_back({extent->counter, counted});
    if (extent->missing == 0) continue;
    const uint32_t position_end = std::min(end, extent->end);
    for (uint32_t i = std::max(first, extent->first); i < position_end; ++i) {
      if (row.frames[i] == kAbsent) return false;
    }
  }
  return true;
}

void ResidentPages::CutTo(uint32_t position) {
  for (Group& row : groups_) {
    if (row.frames.size() <= position) continue;
    row.frames.Resize(position, kAbsent);
    while (!row.extents.empty() && row.extents.back().first >= position) row.extents.pop_back();
    if (row.extents.empty()) continue;
    row.extents.back().end = position;
    row.extents.back().read = false;
  }
}

void ResidentPages::Cover(const Source& source, Group& row) {
  const std::vector<BlockRef>& blocks = *source.blocks;
  uint32_t position = row.frames.size();
  row.frames.Resize(source.blocks_count, kAbsent);
  const std::atomic<uint64_t>* last = row.extents.empty() ? nullptr : row.extents.back().counter;
  for (; position < source.blocks_count; ++position) {
    const std::atomic<uint64_t>* const counter =
        &source.table.withdrawals(source.group, blocks[position].block);
    if (counter != last) row.extents.push_back(Extent{.counter = counter, .first = position});
    last = counter;
    row.extents.back().end = position + 1;
    row.extents.back().read = false;
  }
}

void ResidentPages::Read(const Source& source, Group& row, Extent& extent) {
  const std::vector<BlockRef>& blocks = *source.blocks;
  extent.read = true;
  extent.missing = 0;
  const int32_t* frames = row.frames.data();
  int32_t* changed = nullptr;
  for (uint32_t i = extent.first; i < extent.end; ++i) {
    const BlockRef& block = blocks[i];
    const PageTableWord word = source.table.Read(source.group, block.block);
    const bool there = word.generation == block.generation && !word.frame_hbm.is_none() &&
                       word.frame_hbm.value < source.frames_hbm;
    const int32_t frame = there ? static_cast<int32_t>(word.frame_hbm.value) : kAbsent;
    extent.missing += there ? 0 : 1;
    if (frames[i] == frame) continue;
    if (changed == nullptr) frames = changed = row.frames.Mutable();
    changed[i] = frame;
  }
}

}  // namespace kvpager::engine
