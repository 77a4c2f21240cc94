// tiers/nvme/background_scan.h
//
// A HeaderScan on a thread of its own, beside an executor that reads and writes the same file.
//
//   thread: read a window of headers ~> caller: Next, Next, ... ~> thread: the window behind the
//   next
//
// Two windows are held: one that is handed out and one that is ready. What Next returns is what the
// headers said at some time since Start; who hands out frames knows which of them were written
// since.
//
// Ownership: the file outlives it. Thread-safety: one thread calls; the scan's own only reads the
// file. Errors: a window that cannot be read comes as runs that are kUnreadable, and is counted.

#ifndef KVPAGER_TIERS_NVME_BACKGROUND_SCAN_H_
#define KVPAGER_TIERS_NVME_BACKGROUND_SCAN_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "tiers/nvme/page_file.h"
#include "tiers/nvme/scan.h"
#include "tiers/worker_thread.h"

namespace kvpager {

class BackgroundScan {
 public:
  // Begins to read. kUnavailable: no descriptor or thread left.
  static absl::StatusOr<std::unique_ptr<BackgroundScan>> Start(const PageFile& file,
                                                               const ScanOptions& options);
  ~BackgroundScan();  // Waits for the headers that are being read.

  // Readable when a window is ready that Next has not begun with, and at the end.
  int ready_fd() const { return ready_fd_; }
  bool has_next();  // Next would return something.
  bool finished();  // Next has returned every run.
  // The runs in the order of their frames; nullopt: none is ready.
  std::optional<ScannedRun> Next();
  uint64_t windows_failed();

 private:
  BackgroundScan(const PageFile& file, const ScanOptions& options)
      : file_(file), options_(options) {}
  void Run();
  void Refill();

  const PageFile& file_;
  const ScanOptions options_;
  int ready_fd_ = -1;
  std::vector<ScannedRun> window_;  // The caller's: from window_at_ on.
  size_t window_at_ = 0;

  std::mutex mutex_;
  std::condition_variable taken_;
  std::vector<ScannedRun> handed_;  // The next window.
  bool all_read_ = false;           // None comes behind it.
  bool stopping_ = false;
  uint64_t windows_failed_ = 0;

  WorkerThread thread_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_BACKGROUND_SCAN_H_
