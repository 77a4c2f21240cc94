#include "tiers/nvme/thread_executor.h"

#include <errno.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/crash_point.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {

absl::StatusOr<std::unique_ptr<NvmeExecutor>> ThreadExecutor::Create(const Options& options,
                                                                     const std::string& reason) {
  auto executor = std::unique_ptr<ThreadExecutor>(new ThreadExecutor(options, reason));
  KVP_RETURN_IF_ERROR(executor->done_.Init());
  for (WorkerThread& thread : executor->threads_) {
    KVP_RETURN_IF_ERROR(
        (thread.Start<ThreadExecutor, &ThreadExecutor::Run>("kvp-nvme-rw", executor.get())));
  }
  return executor;
}

ThreadExecutor::ThreadExecutor(const Options& options, const std::string& reason)
    : io_(options, kThreads),
      detail_(absl::StrCat(kThreads, " threads with pread and pwrite: ", reason)) {}

ThreadExecutor::~ThreadExecutor() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_all();
  for (WorkerThread& thread : threads_) thread.Join();
}

void ThreadExecutor::Submit(absl::Span<const CopyOp> copies) {
  if (copies.empty()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const CopyOp& copy : copies) (FrameIo::IsRead(copy) ? reads_ : writes_).push_back(copy);
  }
  arrived_.notify_all();
}

void ThreadExecutor::Run() {
  CopyOp copy;
  while (Take(copy)) {
    const Completion completion = Perform(copy);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!FrameIo::IsRead(copy)) --writing_;
    }
    if (!FrameIo::IsRead(copy)) arrived_.notify_all();  // Room for the next write.
    done_.Push({&completion, 1});
  }
}

// Waits for the next operation; false when there will be none.
bool ThreadExecutor::Take(CopyOp& copy) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    if (!reads_.empty()) {
      copy = reads_.front();
      reads_.pop_front();
      return true;
    }
    if (!writes_.empty() && writing_ < kThreads - 1) {
      copy = writes_.front();
      writes_.pop_front();
      ++writing_;
      return true;
    }
    if (stopping_ && writes_.empty()) return false;
    arrived_.wait(lock);
  }
}

Completion ThreadExecutor::Perform(const CopyOp& copy) {
  if (!FrameIo::IsRead(copy) && !io_.PrepareWrite(copy)) return io_.ConcludeCorrupt(copy);
  const off_t offset = static_cast<off_t>(io_.OffsetBytes(copy));
  io_.Begin(copy);
  ssize_t moved = 0;
  do {
    moved = FrameIo::IsRead(copy) ? pread(io_.fd(), io_.Buffer(copy), io_.frame_bytes(), offset)
                                  : pwrite(io_.fd(), io_.Buffer(copy), io_.frame_bytes(), offset);
  } while (moved < 0 && errno == EINTR);
  if (!FrameIo::IsRead(copy)) KVP_CRASH_POINT("nvme_write_submitted");
  return io_.Conclude(copy, moved < 0 ? -int64_t{errno} : int64_t{moved});
}

}  // namespace kvpager
