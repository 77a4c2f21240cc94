#include "engine_plugin/view.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"

namespace kvpager::engine {

ListedPositions ListPositions(const StepEntry& entry, uint32_t group, uint32_t page_tokens) {
  const StepEntryRequest& request = entry.request;
  ListedPositions listed;
  const uint64_t blocks_count = CeilDiv(entry.end_tokens(), page_tokens);
  if (request.append_tokens > 0) {
    listed.appended = {entry.begin_tokens / page_tokens, blocks_count};
  } else {
    listed.appended = {blocks_count, blocks_count};
  }
  const bool in_groups =
      group >= request.first_group && group - request.first_group < request.num_groups;
  if (in_groups) {
    const uint64_t end = request.num_blocks == kAll
                             ? blocks_count
                             : uint64_t{request.first_block} + request.num_blocks;
    listed.read.first = std::min<uint64_t>(request.first_block, listed.appended.first);
    listed.read.end = std::clamp(end, listed.read.first, listed.appended.first);
  }
  return listed;
}

namespace {

// Full, unless it is the entry's last page.
int32_t LastPageLength(const StepEntry& entry, int32_t position, uint32_t page_tokens) {
  const uint64_t page_first_tokens = static_cast<uint64_t>(position) * page_tokens;
  return static_cast<int32_t>(
      std::min<uint64_t>(page_tokens, entry.end_tokens() - page_first_tokens));
}

absl::Status Broken(uint32_t group, uint64_t position, BlockRef block, std::string_view what) {
  return absl::UnavailableError(absl::StrCat(
      "the daemon broke its promise: the page of block ", block.block, " (position ", position,
      ") in group ", group, " ", std::string(what), "; close this client and open a new one"));
}

class Builder {
 public:
  Builder(const ViewOptions& options, ViewLists& device, ViewLists& host,
          std::vector<UnsurePage>& unsure)
      : options_(options), device_(device), host_(host), unsure_(unsure) {}

  void AddResident(const StepEntry& entry, const FrameListPtr& frames) {
    const ListedPositions listed = ListPositions(entry, options_.group, options_.page_tokens);
    const size_t device_first = device_.indices.size();
    for (const Positions& piece : {listed.read, listed.appended}) {
      if (piece.first < piece.end) AppendPiece(*frames, piece);
    }
    CloseEntry(entry, device_first, device_);
    CloseEntry(entry, 0, host_);  // Empty: nothing is read in host memory.
  }

  absl::Status AddEntry(const StepEntry& entry) {
    const ListedPositions listed = ListPositions(entry, options_.group, options_.page_tokens);
    const uint64_t blocks_count = listed.appended.end;
    if (entry.blocks->size() < blocks_count) {
      return absl::UnavailableError(absl::StrCat("the daemon described ", entry.blocks->size(),
                                                 " blocks of a sequence of ", entry.end_tokens(),
                                                 " tokens; close this client and open a new one"));
    }
    const size_t device_first = device_.indices.size();
    const size_t host_first = host_.indices.size();
    for (uint64_t position = listed.read.first; position < listed.read.end; ++position) {
      KVP_RETURN_IF_ERROR(AddPage(position, (*entry.blocks)[position], /*appended=*/false));
    }
    for (uint64_t position = listed.appended.first; position < blocks_count; ++position) {
      KVP_RETURN_IF_ERROR(AddPage(position, (*entry.blocks)[position], /*appended=*/true));
    }
    CloseEntry(entry, device_first, device_);
    CloseEntry(entry, host_first, host_);
    return absl::OkStatus();
  }

 private:
  absl::Status AddPage(uint64_t position, BlockRef block, bool appended) {
    const PageTableWord word = options_.page_table->Read(options_.group, block.block);
    const bool host_allowed = options_.residency == StepResidency::kSplit && !appended;
    if (word.generation != block.generation) {
      return Broken(options_.group, position, block, "was given to somebody else");
    }
    if (!word.frame_hbm.is_none()) {
      if (word.frame_hbm.value >= options_.frames_hbm) {
        return Broken(options_.group, position, block, "is in a frame that HBM does not have");
      }
      Append(device_, word.frame_hbm.value, position);
      if (host_allowed && !word.frame_host.is_none()) {
        unsure_.push_back(UnsurePage{options_.group, block, word.frame_hbm.value});
      }
      return absl::OkStatus();
    }
    if (!host_allowed) return Broken(options_.group, position, block, "is not in HBM");
    if (word.frame_host.is_none()) {
      return Broken(options_.group, position, block, "is neither in HBM nor in host memory");
    }
    if (word.frame_host.value >= options_.frames_host) {
      return Broken(options_.group, position, block, "is in a frame that the host does not have");
    }
    Append(host_, word.frame_host.value, position);
    return absl::OkStatus();
  }

  void AppendPiece(const FrameList& frames, const Positions& piece) {
    const auto first = static_cast<std::ptrdiff_t>(piece.first);
    const auto end = static_cast<std::ptrdiff_t>(piece.end);
    device_.indices.insert(device_.indices.end(), frames.begin() + first, frames.begin() + end);
    const size_t size = device_.positions.size();
    device_.positions.resize(size + piece.end - piece.first);
    std::iota(device_.positions.begin() + static_cast<std::ptrdiff_t>(size),
              device_.positions.end(), static_cast<int32_t>(piece.first));
  }

  static void Append(ViewLists& lists, uint32_t frame, uint64_t position) {
    lists.indices.push_back(static_cast<int32_t>(frame));
    lists.positions.push_back(static_cast<int32_t>(position));
  }

  void CloseEntry(const StepEntry& entry, size_t first, ViewLists& lists) const {
    KVP_CHECK(lists.indices.size() <= size_t{std::numeric_limits<int32_t>::max()});
    lists.indptr.push_back(static_cast<int32_t>(lists.indices.size()));
    const bool listed = lists.indices.size() > first;
    lists.last_page_len.push_back(
        listed ? LastPageLength(entry, lists.positions.back(), options_.page_tokens) : 0);
  }

  const ViewOptions& options_;
  ViewLists& device_;
  ViewLists& host_;
  std::vector<UnsurePage>& unsure_;
};

}  // namespace

absl::Status BuildView(const ViewOptions& options, absl::Span<const StepEntry> entries,
                       ViewLists& device, ViewLists& host, std::vector<UnsurePage>& unsure) {
  for (ViewLists* lists : {&device, &host}) {
    lists->Clear();
    lists->indptr.push_back(0);
  }
  Builder builder(options, device, host, unsure);
  if (!options.frames.empty()) {
    const FrameListPtr* frames = &options.frames[options.group];
    for (const StepEntry& entry : entries) {
      builder.AddResident(entry, *frames);
      frames += options.num_groups;
    }
    return absl::OkStatus();
  }
  for (const StepEntry& entry : entries) {
    KVP_RETURN_IF_ERROR(builder.AddEntry(entry));
  }
  return absl::OkStatus();
}

void ExtendLastPages(absl::Span<const StepEntryRequest> asked, uint64_t repeats,
                     ViewLists& device) {
  KVP_CHECK_EQ(device.last_page_len.size(), asked.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    device.last_page_len[i] += static_cast<int32_t>(repeats * asked[i].append_tokens);
  }
}

absl::Status CheckUnsure(const PageTableReader& page_table, absl::Span<const UnsurePage> unsure) {
  for (const UnsurePage& page : unsure) {
    const PageTableWord word = page_table.Read(page.group, page.block.block);
    const bool there =
        word.generation == page.block.generation && word.frame_hbm == FrameIndex{page.frame_hbm};
    if (!there) {
      return absl::AbortedError(absl::StrCat(
          "a page of this SPLIT step left HBM while it was read (block ", page.block.block,
          ", group ", page.group, "); the step was discarded: run it again"));
    }
  }
  return absl::OkStatus();
}

}  // namespace kvpager::engine
