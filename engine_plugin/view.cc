#include "engine_plugin/view.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::engine {

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

  absl::Status AddEntry(const StepEntry& entry) {
    const ListedPositions listed = ListPositions(entry, options_.group);
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

// Positions [first, end) and their frames to where `index` says, which moves on.
void CopyPiece(const FrameList& frames, const Positions& piece, ViewLists& lists, size_t& index) {
  const size_t count = piece.end - piece.first;
  if (count == 0) return;
  int32_t* const indices = &lists.indices[index];
  int32_t* const positions = &lists.positions[index];
  if (count == 1) {
    *indices = frames[piece.first];  // So short, a call of memcpy would be most of the work.
  } else {
    std::memcpy(indices, frames.data() + piece.first, count * sizeof(int32_t));
  }
  const auto first = static_cast<int32_t>(piece.first);
  for (size_t i = 0; i < count; ++i) positions[i] = first + static_cast<int32_t>(i);
  index += count;
}

// The frames are known: nothing can fail, and nothing is in host memory.
void BuildResidentView(const ViewOptions& options, absl::Span<const StepEntry> entries,
                       ViewLists& device, ViewLists& host) {
  host.indptr.assign(entries.size() + 1, 0);
  host.last_page_len.assign(entries.size(), 0);
  device.indptr.resize(entries.size() + 1);
  device.last_page_len.resize(entries.size());
  device.indptr[0] = 0;
  size_t index = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const ListedPositions listed = ListPositions(entries[i], options.group);
    const size_t first = index;
    const size_t end = first + (listed.read.end - listed.read.first) +
                       (listed.appended.end - listed.appended.first);
    if (end > device.indices.size()) {
      KVP_CHECK(end <= size_t{std::numeric_limits<int32_t>::max()});
      device.indices.resize(end + end / 2);
      device.positions.resize(end + end / 2);
    }
    const FrameList& frames = options.frames[i * options.num_groups + options.group];
    CopyPiece(frames, listed.read, device, index);
    CopyPiece(frames, listed.appended, device, index);
    device.indptr[i + 1] = static_cast<int32_t>(index);
    device.last_page_len[i] =
        index > first ? LastPageLength(entries[i], device.positions[index - 1], options.page_tokens)
                      : 0;
  }
  device.indices.resize(index);
  device.positions.resize(index);
}

}  // namespace

absl::Status BuildView(const ViewOptions& options, absl::Span<const StepEntry> entries,
                       ViewLists& device, ViewLists& host, std::vector<UnsurePage>& unsure) {
  if (!options.frames.empty()) {
    BuildResidentView(options, entries, device, host);
    return absl::OkStatus();
  }
  for (ViewLists* lists : {&device, &host}) {
    lists->Clear();
    lists->indptr.push_back(0);
  }
  Builder builder(options, device, host, unsure);
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
