#include "tiers/nvme/background_scan.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {

absl::StatusOr<std::unique_ptr<BackgroundScan>> BackgroundScan::Start(const PageFile& file,
                                                                      const ScanOptions& options) {
  std::unique_ptr<BackgroundScan> scan(new BackgroundScan(file, options));
  scan->ready_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (scan->ready_fd_ < 0) {
    return absl::UnavailableError(absl::StrCat("cannot make an eventfd: ", std::strerror(errno)));
  }
  KVP_RETURN_IF_ERROR(
      (scan->thread_.Start<BackgroundScan, &BackgroundScan::Run>("kvp-scan", scan.get())));
  return scan;
}

BackgroundScan::~BackgroundScan() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  taken_.notify_all();
  thread_.Join();
  if (ready_fd_ >= 0) close(ready_fd_);
}

void BackgroundScan::Run() {
  HeaderScan scan(file_, options_);
  std::vector<ScannedRun> window;
  while (true) {
    const bool done = scan.done();
    const bool failed = !done && !scan.Next(window).ok();
    std::unique_lock<std::mutex> lock(mutex_);
    taken_.wait(lock, [this] { return handed_.empty() || stopping_; });
    if (stopping_) return;
    windows_failed_ += failed ? 1 : 0;
    all_read_ = done;
    if (!done) handed_.swap(window);
    const uint64_t one = 1;
    KVP_CHECK_EQ(write(ready_fd_, &one, sizeof one), ssize_t{sizeof one});
    if (done) return;
  }
}

// Begins with the window that is ready, if the one before has been handed out.
void BackgroundScan::Refill() {
  if (window_at_ < window_.size()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    window_.clear();
    window_at_ = 0;
    window_.swap(handed_);
    uint64_t value = 0;
    // EAGAIN: it was emptied before.
    if (read(ready_fd_, &value, sizeof value) < 0) KVP_CHECK_EQ(errno, EAGAIN);
  }
  taken_.notify_all();
}

bool BackgroundScan::has_next() {
  Refill();
  return window_at_ < window_.size();
}

bool BackgroundScan::finished() {
  if (has_next()) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  return all_read_ && handed_.empty();
}

std::optional<ScannedRun> BackgroundScan::Next() {
  if (!has_next()) return std::nullopt;
  return window_[window_at_++];
}

uint64_t BackgroundScan::windows_failed() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return windows_failed_;
}

}  // namespace kvpager
