#include "tiers/completion_queue.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"

namespace kvpager {

CompletionQueue::~CompletionQueue() {
  if (fd_ >= 0) close(fd_);
}

absl::Status CompletionQueue::Init() {
  fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd_ >= 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot make an eventfd: ", std::strerror(errno),
                                             "; raise the limit of open files (ulimit -n)"));
}

void CompletionQueue::Push(absl::Span<const Completion> completions) {
  if (completions.empty()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (done_.empty()) {
    const uint64_t one = 1;
    system_calls_.fetch_add(1, std::memory_order_relaxed);
    KVP_CHECK_EQ(write(fd_, &one, sizeof(one)), ssize_t{sizeof(one)});
  }
  done_.insert(done_.end(), completions.begin(), completions.end());
}

size_t CompletionQueue::Poll(absl::Span<Completion> out) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t count = std::min(out.size(), done_.size());
  if (count == 0) return 0;
  std::copy_n(done_.begin(), count, out.begin());
  done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
  if (done_.empty()) {
    uint64_t value = 0;
    system_calls_.fetch_add(1, std::memory_order_relaxed);
    KVP_CHECK_EQ(read(fd_, &value, sizeof(value)), ssize_t{sizeof(value)});
  }
  return count;
}

}  // namespace kvpager
