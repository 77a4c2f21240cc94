// memmgr/daemon/reconciler.h
//
// After an unclean stop: has what the headers of the page file say ready for the core
// (Core::Reconcile), run by run, as they are read behind the serving daemon's back, beside what was
// restored there from the catalogue.
//
// Memory: two windows of the scan, and until it ends 72 bytes for each block that was restored.
// Thread-safety: the loop thread. Errors: headers that cannot be read say nothing: what was
// restored there stays, unverified.

#ifndef KVPAGER_MEMMGR_DAEMON_RECONCILER_H_
#define KVPAGER_MEMMGR_DAEMON_RECONCILER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "memmgr/core/core.h"
#include "tiers/nvme/background_scan.h"
#include "tiers/nvme/page_file.h"

namespace kvpager {

class Reconciler {
 public:
  struct Shown {
    FoundRun run;
    bool last = false;  // The core will not be asked again.
    ScannedRun::State state = ScannedRun::State::kEmpty;
  };

  // Starts to read. `expected`: what the core was told of, in any order. The file outlives it.
  static absl::StatusOr<std::unique_ptr<Reconciler>> Start(const PageFile& file,
                                                           std::vector<RestoredBlock> expected);

  int ready_fd() const { return scan_->ready_fd(); }
  // The next run for the core; each is shown once, or twice if Note says so. Nullopt: none is ready
  // now, or all have been shown.
  std::optional<Shown> Next();
  void Note(const Shown& shown, const RunFinding& finding);
  bool has_next();  // Next would return one.
  bool finished();  // All have been shown.
  // Whose headers the core has not seen for the last time; never 0 before finished().
  uint64_t frames_left() const {
    return std::max<uint64_t>(1, frames_left_ + (again_.size() - again_at_) * num_groups_);
  }
  uint64_t windows_failed() { return scan_->windows_failed(); }

 private:
  Reconciler(const PageFile& file, std::vector<RestoredBlock> expected)
      : num_groups_(file.geometry().num_groups()),
        frames_left_(file.frames()),
        expected_(std::move(expected)) {}

  const uint32_t num_groups_;
  uint32_t frames_left_;
  std::vector<RestoredBlock> expected_;  // In the order of their frames, from expected_at_ on.
  size_t expected_at_ = 0;
  std::vector<Shown> again_;  // To be shown once more, from again_at_ on.
  size_t again_at_ = 0;
  std::unique_ptr<BackgroundScan> scan_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_RECONCILER_H_
