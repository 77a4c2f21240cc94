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

#include <cstdint>
#include <memory>
#include <vector>

#include "ipc/page_table_reader.h"

namespace kvpager::engine {

struct BlockRef;

using FrameList = std::vector<int32_t>;  // By block position; -1: not known to be in HBM.

class ResidentPages {
 public:
  struct Source {
    const PageTableReader& table;
    uint64_t frames_hbm;  // A page in a frame that HBM does not have is not there.
    uint32_t group;
    const std::vector<BlockRef>& blocks;
  };

  // True if the pages of positions [first, end) are all in HBM.
  bool Refresh(const Source& source, uint32_t first, uint32_t end);

  // As of the last Refresh of the group; null if there was none.
  std::shared_ptr<const FrameList> frames(uint32_t group) const {
    return group < groups_.size() ? groups_[group].frames : nullptr;
  }

  // The blocks at and after `position` are others now.
  void CutTo(uint32_t position);

 private:
  // Neighbouring positions whose words share a counter.
  struct Extent {
    uint64_t key = 0;      // Which counter.
    uint64_t counted = 0;  // Its value before the words were read.
    uint32_t first = 0;
    uint32_t end = 0;
    uint32_t missing = 0;  // Not in HBM: their arrival is not counted, so they are read again.
    bool read = false;
  };
  struct Group {
    std::shared_ptr<FrameList> frames = std::make_shared<FrameList>();
    std::vector<Extent> extents;
  };

  static void Cover(const Source& source, Group& row);
  static void Read(const Source& source, Group& row, Extent& extent);
  static FrameList& Mutable(Group& row);

  std::vector<Group> groups_;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_RESIDENT_PAGES_H_
