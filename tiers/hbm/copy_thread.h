// tiers/hbm/copy_thread.h
//
// The DeviceExecutor of a device whose copies a CPU makes, with a thread for when they pile up.
//
//   few copies    the loop makes them inside Poll: no hand-over, so a single fault waits for no
//                 second thread to wake up
//   a backlog     of more than kBacklogBytes: the executor goes to the thread, with all that is in
//                 flight, until it has nothing left; the loop then only hands copies in and takes
//                 completions out
//
// So the loop has a core for itself while pages stream (decision 0004).
//
// Ownership: the inner executor belongs to the caller and outlives this one. Exactly one thread
// uses it at a time: with_thread_ says which, and changes only on the side that has it.
// Thread-safety: as CopyExecutor, the calls come from one thread. Errors: Create only, kUnavailable
// without a thread or a descriptor.

#ifndef KVPAGER_TIERS_HBM_COPY_THREAD_H_
#define KVPAGER_TIERS_HBM_COPY_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/base/units.h"
#include "memmgr/core/effect.h"
#include "tiers/completion_queue.h"
#include "tiers/executor.h"
#include "tiers/hbm/device_executor.h"
#include "tiers/worker_thread.h"

namespace kvpager {

class CopyThread final : public CopyExecutor {
 public:
  // About what one core copies and sums in the time that two hand-overs to a sleeping thread take.
  static constexpr uint64_t kBacklogBytes = 256 * kKiB;

  struct Options {
    DeviceExecutor* executor = nullptr;
    uint64_t payload_bytes = 0;  // Of one copy.
  };

  static absl::StatusOr<std::unique_ptr<CopyThread>> Create(const Options& options);

  // Joins the thread, which finishes what it has; completions not polled are lost.
  ~CopyThread() override;

  void Submit(absl::Span<const CopyOp> copies) override;
  size_t Poll(absl::Span<Completion> out) override;
  bool wants_poll() const override;
  int ready_fd() const override { return done_.fd(); }

  // How often the executor went to the thread.
  uint64_t handed_over() const { return handed_over_; }

 private:
  explicit CopyThread(const Options& options) : options_(options) {}
  void Run();
  bool Take();
  bool GiveBack();

  const Options options_;
  CompletionQueue done_;
  uint64_t in_flight_ = 0;  // The loop's: submitted, not polled.
  uint64_t handed_over_ = 0;

  // True: the executor is the thread's. Set by the loop, cleared by the thread, under mutex_; the
  // loop may read it without, for only it makes it true.
  std::atomic<bool> with_thread_{false};
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<CopyOp> incoming_;
  bool stopping_ = false;

  // The thread's own.
  std::vector<CopyOp> taken_;

  WorkerThread thread_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_HBM_COPY_THREAD_H_
