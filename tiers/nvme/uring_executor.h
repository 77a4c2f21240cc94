// tiers/nvme/uring_executor.h
//
// NvmeExecutor over io_uring. Made by NvmeExecutor::Create.
//
//   loop thread: Submit -> incoming list -> eventfd ~> I/O thread: take, start reads, start some
//   writes, submit, conclude some, collect -> CompletionQueue ~> loop thread: Poll
//
// The I/O thread computes all checksums of NVMe traffic, kBytesPerTurn at a time; in between it
// gives the device what has come to be possible, so that the device never waits long for a
// checksum. The eventfd is written only for an I/O thread that sleeps and has slots.
//
// Writes hold at most half of the depth, so that a read never waits for a slot behind them; and
// while reads are about, few more slots than reads have held lately, so that a read does not wait
// at the device for a queue of writes (WritesMax).

#ifndef KVPAGER_TIERS_NVME_URING_EXECUTOR_H_
#define KVPAGER_TIERS_NVME_URING_EXECUTOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/core/effect.h"
#include "tiers/completion_queue.h"
#include "tiers/nvme/frame_io.h"
#include "tiers/nvme/nvme_executor.h"
#include "tiers/nvme/uring.h"
#include "tiers/worker_thread.h"

namespace kvpager {

class UringExecutor final : public NvmeExecutor {
 public:
  static absl::StatusOr<std::unique_ptr<NvmeExecutor>> Create(const Options& options);
  ~UringExecutor() override;

  void Submit(absl::Span<const CopyOp> copies) override;
  size_t Poll(absl::Span<Completion> out) override { return done_.Poll(out); }
  bool wants_poll() const override { return false; }
  int ready_fd() const override { return done_.fd(); }
  NvmeStats stats() const override;
  std::string_view detail() const override { return detail_; }
  bool uses_uring() const override { return true; }

 private:
  struct Ended {
    CopyOp copy;
    int32_t value = 0;  // Bytes moved, or -errno.
  };

  explicit UringExecutor(const Options& options);
  void RegisterArena();
  void Run();
  bool TakeIncoming();
  void StartReads();
  bool StartWrites();
  uint32_t WritesMax();
  bool SleepUnlessAsked();
  void Start(const CopyOp& copy);
  void Collect();
  void ConcludeSome();
  void Enter(uint32_t results_min);
  void Wake();

  const uint32_t depth_;
  const uint32_t writes_max_;  // Slots that writes may hold.
  FrameIo io_;
  std::unique_ptr<Uring> uring_;
  uint64_t frames_per_buffer_ = 0;  // 0: the arena is not registered.
  std::string detail_;
  CompletionQueue done_;
  int wake_fd_ = -1;
  std::atomic<uint64_t> system_calls_{0};

  std::mutex mutex_;
  std::vector<CopyOp> incoming_;
  bool stopping_ = false;
  bool wants_wake_ = false;  // The I/O thread sleeps, and could start something.

  // The I/O thread's own.
  std::deque<CopyOp> reads_;
  std::deque<CopyOp> writes_;
  std::vector<CopyOp> slots_;
  std::vector<uint32_t> slots_free_;
  std::deque<Ended> ended_;  // Not concluded: reads are not verified.
  uint32_t writes_in_flight_ = 0;
  uint32_t reads_in_flight_ = 0;
  uint32_t reads_peak_ = 0;  // Most reads in flight at once since a while; see WritesMax.
  uint64_t reads_peak_end_ns_ = 0;
  uint64_t wake_value_ = 0;
  std::vector<CopyOp> taken_;
  std::vector<Completion> concluded_;

  WorkerThread thread_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_URING_EXECUTOR_H_
