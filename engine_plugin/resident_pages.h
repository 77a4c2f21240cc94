// engine_plugin/resident_pages.h
//
// Where the pages of one sequence are in HBM, as last read from the page table, so that a step need
// not read every word again: one withdrawal counter covers the words of 64 pages, and as long as it
// stands where it stood before the words were read, none of them has gone
// (ipc/page_table_layout.h).
//
// Frames are handed out as shared lists: a step keeps the list it began with. A frame of -1 is that
// of a page which is not known to be in HBM. Short sequences of one group, the bulk of a large
// batch, need no memory but that list.
//
// REQUIRES: Refresh is called inside a step, between begin and end (docs/SHARED_PAGE_TABLE.md).
// Thread-safety: none. Errors: none; a page that is not in HBM is an answer.

#ifndef KVPAGER_ENGINE_PLUGIN_RESIDENT_PAGES_H_
#define KVPAGER_ENGINE_PLUGIN_RESIDENT_PAGES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "engine_plugin/frame_list.h"
#include "ipc/page_table_reader.h"

namespace kvpager::engine {

struct BlockRef;

// As long as the counter stands where it stood, what was read of its pages is still so.
struct Watch {
  const std::atomic<uint64_t>* counter = nullptr;
  uint64_t counted = 0;

  bool holds() const { return counter->load(std::memory_order_seq_cst) == counted; }
};

class ResidentPages {
 public:
  struct Source {
    const PageTableReader& table;
    uint64_t frames_hbm;  // A page in a frame that HBM does not have is not there.
    uint32_t group;
    // Looked into only where words are read.
    const std::shared_ptr<const std::vector<BlockRef>>& blocks;
    uint32_t blocks_count;
  };

  // True if the pages of positions [first, end) are all in HBM. Adds what they hang on to
  // `watches`.
  bool Refresh(const Source& source, uint32_t first, uint32_t end, std::vector<Watch>& watches);

  // As of the last Refresh of the group; empty if there was none.
  FrameList frames(uint32_t group) const {
    return group < groups_.size() ? groups_[group].frames : FrameList();
  }

  bool is_empty() const { return groups_.empty(); }  // There was no Refresh.

  // The blocks at and after `position` are others now.
  void CutTo(uint32_t position);

 private:
  // Neighbouring positions whose words share a counter.
  struct Extent {
    const std::atomic<uint64_t>* counter = nullptr;
    uint64_t counted = 0;  // Its value before the words were read.
    uint32_t first = 0;
    uint32_t end = 0;
    uint32_t missing = 0;  // Not in HBM: their arrival is not counted, so they are read again.
    bool read = false;
  };
  struct Group {
    FrameList frames;
    absl::InlinedVector<Extent, 1> extents;
  };

  static void Cover(const Source& source, Group& row);
  static void Read(const Source& source, Group& row, Extent& extent);

  absl::InlinedVector<Group, 1> groups_;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_RESIDENT_PAGES_H_
