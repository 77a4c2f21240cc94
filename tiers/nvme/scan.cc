#include "tiers/nvme/scan.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/status_macros.h"
#include "tiers/nvme/frame_header.h"
#include "tiers/nvme/header_reader.h"

namespace kvpager {
namespace {

constexpr uint32_t kWindowFrames = 1u << 16;  // Headers held at once.

// Classifies one run of frames and appends it if it is a block.
void AddRun(absl::Span<const ScannedHeader> run, FrameIndex frame_first, ScanResult& result) {
  const FrameIdentity& first = run[0].identity;
  BlockKey parent_key;
  bool empty = true;
  bool whole = true;
  for (uint32_t group = 0; group < run.size(); ++group) {
    const ScannedHeader& header = run[group];
    empty = empty && header.state == ScannedHeader::State::kEmpty;
    whole = whole && header.state == ScannedHeader::State::kValid &&
            header.identity.group == group && header.identity.stamp == first.stamp &&
            header.identity.key == first.key;
    // The parent may have gone while the block was being written.
    if (parent_key.is_none()) parent_key = header.identity.parent_key;
  }
  if (empty) {
    ++result.runs_empty;
  } else if (!whole) {
    ++result.runs_torn;
  } else if (first.key.is_none()) {
    ++result.runs_unnamed;
  } else {
    result.blocks.push_back({.key = first.key,
                             .parent_key = parent_key,
                             .frame_first = frame_first,
                             .stamp = first.stamp,
                             .last_use = first.stamp.counter});
  }
}

// Later is newer; see scan.h.
auto AgeOf(const ScannedBlock& block, uint64_t incarnation_newest) {
  return std::tuple(block.stamp.incarnation == incarnation_newest, block.stamp.counter,
                    block.stamp.incarnation, ~block.frame_first.value);
}

void DropOlderDuplicates(ScanResult& result, uint64_t incarnation_newest) {
  auto& blocks = result.blocks;
  std::sort(blocks.begin(), blocks.end(), [&](const ScannedBlock& a, const ScannedBlock& b) {
    if (a.key != b.key) {
      return std::tie(a.key.words[0], a.key.words[1]) < std::tie(b.key.words[0], b.key.words[1]);
    }
    return AgeOf(a, incarnation_newest) > AgeOf(b, incarnation_newest);
  });
  const auto end =
      std::unique(blocks.begin(), blocks.end(),
                  [](const ScannedBlock& a, const ScannedBlock& b) { return a.key == b.key; });
  result.runs_duplicate = static_cast<uint64_t>(blocks.end() - end);
  blocks.erase(end, blocks.end());
}

}  // namespace

absl::StatusOr<ScanResult> ScanHeaders(const PageFile& file, const ScanOptions& options) {
  const uint32_t num_groups = file.geometry().num_groups();
  const uint32_t window_frames = std::max(kWindowFrames / num_groups, 1u) * num_groups;
  std::unique_ptr<HeaderReader> reader = HeaderReader::Create(file, options);
  std::vector<ScannedHeader> headers;
  ScanResult result;
  for (uint32_t at = 0; at < file.frames(); at += window_frames) {
    headers.assign(std::min(window_frames, file.frames() - at), ScannedHeader());
    KVP_RETURN_IF_ERROR(reader->Read(FrameIndex{at}, absl::MakeSpan(headers)));
    for (uint32_t run = 0; run < headers.size(); run += num_groups) {
      AddRun(absl::MakeConstSpan(headers).subspan(run, num_groups), FrameIndex{at + run}, result);
    }
  }
  const uint64_t newest = file.incarnation_previous();
  DropOlderDuplicates(result, newest);
  std::sort(result.blocks.begin(), result.blocks.end(),
            [&](const ScannedBlock& a, const ScannedBlock& b) {
              return AgeOf(a, newest) < AgeOf(b, newest);
            });
  return result;
}

}  // namespace kvpager
