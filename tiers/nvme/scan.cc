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

// Classifies one run of frames.
ScannedRun Classify(absl::Span<const ScannedHeader> run, FrameIndex frame_first) {
  const FrameIdentity& first = run[0].identity;
  ScannedRun scanned;
  scanned.block.frame_first = frame_first;
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
    scanned.state = ScannedRun::State::kEmpty;
  } else if (!whole) {
    scanned.state = ScannedRun::State::kTorn;
  } else if (first.key.is_none()) {
    scanned.state = ScannedRun::State::kUnnamed;
  } else {
    scanned.state = ScannedRun::State::kBlock;
    scanned.block.key = first.key;
    scanned.block.parent_key = parent_key;
    scanned.block.stamp = first.stamp;
    scanned.block.last_use = first.stamp.counter;
  }
  return scanned;
}

void Count(const ScannedRun& run, ScanResult& result) {
  switch (run.state) {
    case ScannedRun::State::kEmpty:
      ++result.runs_empty;
      return;
    case ScannedRun::State::kUnnamed:
      ++result.runs_unnamed;
      return;
    case ScannedRun::State::kTorn:
    case ScannedRun::State::kUnreadable:
      ++result.runs_torn;
      return;
    case ScannedRun::State::kBlock:
      result.blocks.push_back(run.block);
      return;
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

HeaderScan::HeaderScan(const PageFile& file, const ScanOptions& options)
    : file_(file),
      window_frames_(std::max(options.window_frames / file.geometry().num_groups(), 1u) *
                     file.geometry().num_groups()),
      reader_(HeaderReader::Create(file, options)) {}

HeaderScan::~HeaderScan() = default;

bool HeaderScan::done() const { return at_ >= file_.frames(); }

absl::Status HeaderScan::Next(std::vector<ScannedRun>& runs) {
  const uint32_t num_groups = file_.geometry().num_groups();
  std::vector<ScannedHeader> headers(std::min(window_frames_, file_.frames() - at_));
  const absl::Status read = reader_->Read(FrameIndex{at_}, absl::MakeSpan(headers));
  runs.clear();
  for (uint32_t run = 0; run + num_groups <= headers.size(); run += num_groups) {
    runs.push_back(
        Classify(absl::MakeConstSpan(headers).subspan(run, num_groups), FrameIndex{at_ + run}));
    if (!read.ok()) runs.back().state = ScannedRun::State::kUnreadable;
  }
  at_ += static_cast<uint32_t>(headers.size());
  return read;
}

absl::StatusOr<ScanResult> ScanHeaders(const PageFile& file, const ScanOptions& options) {
  HeaderScan scan(file, options);
  std::vector<ScannedRun> runs;
  ScanResult result;
  while (!scan.done()) {
    KVP_RETURN_IF_ERROR(scan.Next(runs));
    for (const ScannedRun& run : runs) Count(run, result);
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
