// engine_plugin/resident_pages.h
//
// Where the pages of one sequence are in HBM, as last read from the page table, so that a step need
// not read every word again: one withdrawal counter covers the words of 64 pages, and as long as it
// stands where it stood before the words were read, none of them has gone
// (ipc/page_table_layout.h).
//
// Frames are handed out as shared lists that never change: a step keeps the list it began with.
//
// REQUIRES: Refresh is called inside a step, between begin and end (docs/SHARED_PAGE_TABLE.md).
// Thread-safety: none. Errors: none; a page that is not in HBM is an answer.

#ifndef KVPAGER_ENGINE_PLUGIN_RESIDENT_PAGES_H_
#define KVPAGER_ENGINE_PLUGIN_RESIDENT_PAGES_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "engine_plugin/local_ptr.h"
#include "ipc/page_table_reader.h"

namespace kvpager::engine {

struct BlockRef;

using FrameList = std::vector<int32_t>;  // By block position; -1: not known to be in HBM.
using FrameListPtr = LocalPtr<FrameList>;

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
    const std::vector<BlockRef>& blocks;
  };

  // True if the pages of positions [first, end) are all in HBM. Adds what they hang on to
  // `watches`.
  bool Refresh(const Source& source, uint32_t first, uint32_t end, std::vector<Watch>& watches);

  // As of the last Refresh of the group; null if there was none.
  FrameListPtr frames(uint32_t group) const {
    return group < groups_.size() ? groups_[group].frames : FrameListPtr();
  }

  // The blocks at and after `position` are others now.
  void CutTo(uint32_t position);

 private:
  // Neighbouring positions whose words share a counter.
  struct Extent {
    uint64_t counted = 0;  // The counter's value before the words were read.
    uint32_t first = 0;
    uint32_t end = 0;
    uint32_t missing = 0;  // Not in HBM: their arrival is not counted, so they are read again.
    bool read = false;
  };
  struct Group {
    FrameListPtr frames = FrameListPtr::Make();
    std::vector<Extent> extents;
  };

  static void Cover(const Source& source, Group& row);
  static void Read(const Source& source, Group& row, Extent& extent);
  static FrameList& Mutable(Group& row);

  std::vector<Group> groups_;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_RESIDENT_PAGES_H_
