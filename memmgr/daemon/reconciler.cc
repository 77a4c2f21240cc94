#include "memmgr/daemon/reconciler.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "memmgr/base/check.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

// Few at once: steps that wait for pages use the same device.
constexpr ScanOptions kScanOptions{.depth = 32, .window_frames = 1u << 13};

}  // namespace

absl::StatusOr<std::unique_ptr<Reconciler>> Reconciler::Start(const PageFile& file,
                                                              std::vector<RestoredBlock> expected) {
  std::sort(expected.begin(), expected.end(),
            [](const auto& a, const auto& b) { return a.frame_first.value < b.frame_first.value; });
  std::unique_ptr<Reconciler> reconciler(new Reconciler(file, std::move(expected)));
  KVP_ASSIGN_OR_RETURN(reconciler->scan_, BackgroundScan::Start(file, kScanOptions));
  return reconciler;
}

bool Reconciler::has_next() {
  return scan_->has_next() || (scan_->finished() && again_at_ < again_.size());
}

bool Reconciler::finished() { return scan_->finished() && again_at_ == again_.size(); }

std::optional<Reconciler::Shown> Reconciler::Next() {
  const std::optional<ScannedRun> scanned = scan_->Next();
  if (!scanned.has_value()) {
    if (!has_next()) return std::nullopt;
    Shown shown = again_[again_at_++];
    shown.last = true;
    return shown;
  }
  const FrameIndex first = scanned->block.frame_first;
  frames_left_ -= std::min(frames_left_, num_groups_);
  Shown shown{.run = {}, .last = false, .state = scanned->state};
  shown.run.frame_first = first;
  while (expected_at_ < expected_.size() &&
         expected_[expected_at_].frame_first.value < first.value) {
    ++expected_at_;
  }
  // What cannot be read says nothing about what was restored there: its first read will.
  if (scanned->state == ScannedRun::State::kUnreadable) return shown;
  if (expected_at_ < expected_.size() && expected_[expected_at_].frame_first == first) {
    shown.run.expected_key = expected_[expected_at_].key;
    shown.run.expected_stamp = expected_[expected_at_].stamp;
  }
  if (scanned->state == ScannedRun::State::kBlock) {
    const ScannedBlock& block = scanned->block;
    shown.run.found = {block.key, block.parent_key, first, block.stamp, block.last_use, false};
  }
  return shown;
}

void Reconciler::Note(const Shown& shown, const RunFinding& finding) {
  if (!finding.again) return;
  KVP_CHECK(!shown.last);
  again_.push_back(shown);
}

}  // namespace kvpager
