#include "tiers/hbm/copy_thread.h"

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {

absl::StatusOr<std::unique_ptr<CopyThread>> CopyThread::Create(const Options& options) {
  auto copies = std::unique_ptr<CopyThread>(new CopyThread(options));
  KVP_RETURN_IF_ERROR(copies->done_.Init());
  KVP_RETURN_IF_ERROR(
      (copies->thread_.Start<CopyThread, &CopyThread::Run>("kvp-copy", copies.get())));
  return copies;
}

CopyThread::~CopyThread() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  thread_.Join();
}

void CopyThread::Submit(absl::Span<const CopyOp> copies) {
  if (copies.empty()) return;
  in_flight_ += copies.size();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (with_thread_) {  // It looks once more before it gives the executor back.
      incoming_.insert(incoming_.end(), copies.begin(), copies.end());
      return;
    }
  }
  options_.executor->Submit(copies);
  if (in_flight_ * options_.payload_bytes <= kBacklogBytes) return;
  ++handed_over_;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    with_thread_ = true;
  }
  arrived_.notify_one();
}

size_t CopyThread::Poll(absl::Span<Completion> out) {
  // Asked first: what the thread has finished is in done_ by the time that this is false.
  const bool ours = !with_thread_.load(std::memory_order_acquire);
  size_t count = done_.Poll(out);
  if (ours && count < out.size()) count += options_.executor->Poll(out.subspan(count));
  in_flight_ -= count;
  return count;
}

bool CopyThread::wants_poll() const {
  return !with_thread_.load(std::memory_order_acquire) && options_.executor->wants_poll();
}

void CopyThread::Run() {
  std::array<Completion, 64> ended;
  while (Take()) {
    do {
      options_.executor->Submit(taken_);
      taken_.clear();
      const size_t count = options_.executor->Poll(absl::MakeSpan(ended));
      done_.Push(absl::MakeConstSpan(ended.data(), count));
    } while (!GiveBack());
  }
}

// Waits for the executor; false when it will not come any more.
bool CopyThread::Take() {
  std::unique_lock<std::mutex> lock(mutex_);
  arrived_.wait(lock, [this] { return with_thread_ || stopping_; });
  return with_thread_;
}

// Takes what has come meanwhile; true if there is nothing left to do, and the executor is the
// loop's again.
bool CopyThread::GiveBack() {
  const std::lock_guard<std::mutex> lock(mutex_);
  taken_.swap(incoming_);
  if (!taken_.empty() || options_.executor->wants_poll()) return false;
  with_thread_ = false;
  return true;
}

}  // namespace kvpager
