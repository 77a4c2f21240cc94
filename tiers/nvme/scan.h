// tiers/nvme/scan.h
//
// Finds the blocks of a page file by reading the headers of all its frames: what a daemon does
// after an unclean stop, when the catalogue may be behind; a window at a time, beside an executor
// that writes to the same file, or all at once.
//
// A run of num_groups frames holds a block if all its frames carry one key that is not none, one
// stamp, the groups 0, 1, ... in order, and headers whose checksums are right. Payloads are not
// read: the first copy to host memory decides.
//
// Which stamp is newer: one of the incarnation that last opened the file (as PageFile found it)
// before any other; then the larger counter; then the larger incarnation, then the smaller frame,
// which are arbitrary but fixed. If one key is found in two runs, the newer one is kept. Both would
// be right: a key names contents.

#ifndef KVPAGER_TIERS_NVME_SCAN_H_
#define KVPAGER_TIERS_NVME_SCAN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memmgr/base/ids.h"
#include "tiers/nvme/page_file.h"

namespace kvpager {

// Field for field what the core restores.
struct ScannedBlock {
  BlockKey key;
  BlockKey parent_key;
  FrameIndex frame_first;
  Stamp stamp;
  uint64_t last_use = 0;  // The stamp's counter: the order of writing.
  bool durable = false;   // Only the catalogue knows.
};

struct ScanResult {
  std::vector<ScannedBlock> blocks;  // Oldest first.
  uint64_t runs_empty = 0;           // Never written.
  uint64_t runs_unnamed = 0;         // Of sequences that were open.
  uint64_t runs_torn = 0;            // Frames of different blocks, or unreadable headers.
  uint64_t runs_duplicate = 0;       // Older copies of a key that was found twice.
};

struct ScanOptions {
  uint32_t depth = 128;               // Headers read at once.
  bool allow_uring = true;            // Else, or where it is refused, a few threads with pread.
  uint32_t window_frames = 1u << 16;  // Headers held at once.
};

struct ScannedRun {
  enum class State : uint8_t {
    kEmpty,       // Never written.
    kUnnamed,     // Of a sequence that was open.
    kTorn,        // Frames of different blocks, or headers that are damaged.
    kUnreadable,  // The whole window could not be read.
    kBlock,
  };
  State state = State::kTorn;
  ScannedBlock block;  // Its frame_first is set in any state.
};

class HeaderReader;

// Thread-safety: the thread that made it. The file outlives it.
class HeaderScan {
 public:
  explicit HeaderScan(const PageFile& file, const ScanOptions& options = {});
  ~HeaderScan();
  HeaderScan(const HeaderScan&) = delete;
  HeaderScan& operator=(const HeaderScan&) = delete;

  bool done() const;
  // Replaces `runs` with those of the next window, in the order of their frames. Blocks.
  // kUnavailable: not one header of the window could be read; its runs are kUnreadable, and the
  // next call goes on behind them. REQUIRES: !done().
  absl::Status Next(std::vector<ScannedRun>& runs);

 private:
  const PageFile& file_;
  const uint32_t window_frames_;
  const std::unique_ptr<HeaderReader> reader_;
  uint32_t at_ = 0;
};

// Blocks until done; before any executor writes to the file. kUnavailable if the file cannot be
// read; a single unreadable header only makes its run count as torn.
absl::StatusOr<ScanResult> ScanHeaders(const PageFile& file, const ScanOptions& options = {});

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_SCAN_H_
