// engine_plugin/view.h
//
// Builds the lists that kernels take: which frames hold the pages of a step, read from the shared
// page table. All pages of a ready step are pinned, so their words cannot change; a word that does
// not say where its page is means that the daemon broke its promise, and is an error, never a
// guess.
//
// A step without a message has its frames from when it began, and no word is read again.
//
// A page is listed if the entry's range has it or if the step appends to it. In a SPLIT step a page
// with a frame in HBM is listed there, else in host memory. The word of a page that is pinned in
// host memory says so; where it names both tiers the pin may be in either, and the page is noted.
//
// Thread-safety: pure functions. Errors: kUnavailable as above.

#ifndef KVPAGER_ENGINE_PLUGIN_VIEW_H_
#define KVPAGER_ENGINE_PLUGIN_VIEW_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine_plugin/step.h"
#include "ipc/page_table_reader.h"

namespace kvpager::engine {

// Block positions [first, end).
struct Positions {
  uint64_t first = 0;
  uint64_t end = 0;
};

// The positions of an entry that a view of `group` lists: at most two pieces, ascending, disjoint.
struct ListedPositions {
  Positions read;
  Positions appended;
};
inline ListedPositions ListPositions(const StepEntry& entry, uint32_t group) {
  const StepEntryRequest& request = *entry.request;
  const uint64_t end = entry.blocks_end;
  const uint64_t append_first = request.append_tokens > 0 ? entry.append_position : end;
  ListedPositions listed{{}, {append_first, end}};
  if (group < request.first_group || group - request.first_group >= request.num_groups) {
    return listed;
  }
  listed.read.first = std::min<uint64_t>(request.first_block, append_first);
  const uint64_t asked_end = uint64_t{request.first_block} + request.num_blocks;
  listed.read.end = request.num_blocks == kAll ? append_first : std::min(asked_end, append_first);
  return listed;
}

struct ViewOptions {
  const PageTableReader* page_table = nullptr;
  uint32_t page_tokens = 0;
  uint64_t frames_hbm = 0;
  uint64_t frames_host = 0;
  uint32_t group = 0;
  StepResidency residency = StepResidency::kResident;
  // Of a step without a message: where its pages were, by entry, then by group.
  uint32_t num_groups = 0;
  absl::Span<const FrameList> frames;
};

// Fills `device` and `host` (empty lists in a RESIDENT step), and adds to `unsure`. REQUIRES: the
// step is ready.
absl::Status BuildView(const ViewOptions& options, absl::Span<const StepEntry> entries,
                       ViewLists& device, ViewLists& host, std::vector<UnsurePage>& unsure);

// The lists of a step without a message that was begun `repeats` times more: all that is new is how
// full the last pages are. REQUIRES: made by BuildView of entries that asked for the same, and the
// new rows are in those pages.
void ExtendLastPages(absl::Span<const StepEntryRequest> asked, uint64_t repeats, ViewLists& device);

// kAborted if a noted page is no longer where it was listed.
absl::Status CheckUnsure(const PageTableReader& page_table, absl::Span<const UnsurePage> unsure);

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_VIEW_H_
