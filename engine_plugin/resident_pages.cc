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
  if (row.frames->size() < source.blocks.size()) Cover(source, row);
  auto extent = row.extents.begin();
  if (first > 0) {
    extent = std::partition_point(row.extents.begin(), row.extents.end(),
                                  [first](const Extent& other) { return other.end <= first; });
  }
  for (; extent != row.extents.end() && extent->first < end; ++extent) {
    const std::atomic<uint64_t>& counter =
        source.table.withdrawals(source.group, source.blocks[extent->first].block);
    const uint64_t counted = counter.load(std::memory_order_seq_cst);
    if (!extent->read || extent->missing > 0 || counted != extent->counted) {
      extent->counted = counted;
      Read(source, row, *extent);
    }
    watches.push_back({&counter, counted});
    if (extent->missing == 0) continue;
    const uint32_t position_end = std::min(end, extent->end);
    for (uint32_t i = std::max(first, extent->first); i < position_end; ++i) {
      if ((*row.frames)[i] == kAbsent) return false;
    }
  }
  return true;
}

void ResidentPages::CutTo(uint32_t position) {
  for (Group& row : groups_) {
    if (row.frames->size() <= position) continue;
    Mutable(row).resize(position);
    while (!row.extents.empty() && row.extents.back().first >= position) row.extents.pop_back();
    if (row.extents.empty()) continue;
    row.extents.back().end = position;
    row.extents.back().read = false;
  }
}

void ResidentPages::Cover(const Source& source, Group& row) {
  const std::vector<BlockRef>& blocks = source.blocks;
  FrameList& frames = Mutable(row);
  auto position = static_cast<uint32_t>(frames.size());
  frames.resize(blocks.size(), kAbsent);
  const auto index_of = [&source](const BlockRef& block) {
    return source.table.withdrawal_index(source.group, block.block);
  };
  uint64_t index_last = row.extents.empty() ? ~uint64_t{0} : index_of(blocks[position - 1]);
  for (; position < blocks.size(); ++position) {
    const uint64_t index = index_of(blocks[position]);
    if (index != index_last) row.extents.push_back(Extent{.first = position});
    index_last = index;
    row.extents.back().end = position + 1;
    row.extents.back().read = false;
  }
}

void ResidentPages::Read(const Source& source, Group& row, Extent& extent) {
  extent.read = true;
  extent.missing = 0;
  const FrameList* frames = &*row.frames;
  for (uint32_t i = extent.first; i < extent.end; ++i) {
    const BlockRef& block = source.blocks[i];
    const PageTableWord word = source.table.Read(source.group, block.block);
    const bool there = word.generation == block.generation && !word.frame_hbm.is_none() &&
                       word.frame_hbm.value < source.frames_hbm;
    const int32_t frame = there ? static_cast<int32_t>(word.frame_hbm.value) : kAbsent;
    extent.missing += there ? 0 : 1;
    if ((*frames)[i] == frame) continue;
    FrameList& changed = Mutable(row);
    changed[i] = frame;
    frames = &changed;
  }
}

// A list that a step holds is left to it.
FrameList& ResidentPages::Mutable(Group& row) {
  if (row.frames.is_shared()) row.frames = FrameListPtr::Make(*row.frames);
  return *row.frames;
}

}  // namespace kvpager::engine
