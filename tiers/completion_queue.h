// tiers/completion_queue.h
//
// How finished operations get from an executor's threads to the loop: a list under a mutex and an
// eventfd that is readable exactly while the list is not empty.
//
// Thread-safety: Push from any thread, Poll from one. Bounded by the operations in flight (E2).

#ifndef KVPAGER_TIERS_COMPLETION_QUEUE_H_
#define KVPAGER_TIERS_COMPLETION_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "memmgr/core/effect.h"

namespace kvpager {

class CompletionQueue {
 public:
  CompletionQueue() = default;
  ~CompletionQueue();
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;

  absl::Status Init();  // kUnavailable: no descriptor left.

  void Push(absl::Span<const Completion> completions);
  size_t Poll(absl::Span<Completion> out);
  int fd() const { return fd_; }
  // Writes and reads of the eventfd so far. Any thread may ask.
  uint64_t system_calls() const { return system_calls_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::deque<Completion> done_;
  int fd_ = -1;
  std::atomic<uint64_t> system_calls_{0};
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_COMPLETION_QUEUE_H_
