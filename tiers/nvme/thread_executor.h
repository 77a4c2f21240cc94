// tiers/nvme/thread_executor.h
//
// NvmeExecutor over pread and pwrite, on kThreads threads: where io_uring is refused. Made by
// NvmeExecutor::Create. Reads are taken first, and one thread never writes, so that a read waits
// for no write.

#ifndef KVPAGER_TIERS_NVME_THREAD_EXECUTOR_H_
#define KVPAGER_TIERS_NVME_THREAD_EXECUTOR_H_

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/core/effect.h"
#include "tiers/completion_queue.h"
#include "tiers/nvme/frame_io.h"
#include "tiers/nvme/nvme_executor.h"
#include "tiers/worker_thread.h"

namespace kvpager {

class ThreadExecutor final : public NvmeExecutor {
 public:
  static constexpr uint32_t kThreads = 4;

  // `reason` says, for detail(), why it is not io_uring.
  static absl::StatusOr<std::unique_ptr<NvmeExecutor>> Create(const Options& options,
                                                              const std::string& reason);
  ~ThreadExecutor() override;

  void Submit(absl::Span<const CopyOp> copies) override;
  size_t Poll(absl::Span<Completion> out) override { return done_.Poll(out); }
  bool wants_poll() const override { return false; }
  int ready_fd() const override { return done_.fd(); }
  NvmeStats stats() const override { return io_.stats(); }
  std::string_view detail() const override { return detail_; }
  bool uses_uring() const override { return false; }

 private:
  ThreadExecutor(const Options& options, const std::string& reason);
  void Run();
  bool Take(CopyOp& copy);
  Completion Perform(const CopyOp& copy);

  FrameIo io_;
  std::string detail_;
  CompletionQueue done_;

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<CopyOp> reads_;
  std::deque<CopyOp> writes_;
  uint32_t writing_ = 0;
  bool stopping_ = false;

  std::array<WorkerThread, kThreads> threads_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_THREAD_EXECUTOR_H_
