// tiers/hbm/cuda_queue.h
//
// Copies in one direction: a stream of their own, launches of many copies each, and an event behind
// every launch that says when it is done. Nothing here waits for the device.
//
//   Start: [copy copy copy] --merge neighbours--> one batch, or one call each --> event
//   Poll:  events of the oldest launches, in order, until one is not done
//
// A copy that the driver refuses ends as failed only behind its launch's event, because others of
// the launch may be on their way: whoever hears of an end may reuse the memory.
//
// Ownership: stream and events. Thread-safety: one thread, with the context current.
// Errors: per copy, in CudaEnded; a lost device fails everything, now and later.

#ifndef KVPAGER_TIERS_HBM_CUDA_QUEUE_H_
#define KVPAGER_TIERS_HBM_CUDA_QUEUE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/cuda/scoped_context.h"

namespace kvpager {

// What a copy belongs to; the queue only hands it back.
struct CudaTag {
  uint32_t copy = 0;
  uint32_t staging_slot = 0;
  uint64_t offset_bytes = 0;  // In the copy.
  uint64_t bytes = 0;
};

struct CudaCopy {
  CudaTag tag;
  cuda::DevicePointer target = 0;
  cuda::DevicePointer source = 0;  // 0: the target is filled with zeros.
  uint64_t bytes = 0;
  uint64_t region = 0;  // Neighbours in one region of host memory may become one copy.
};

struct CudaEnded {
  CudaTag tag;
  cuda::Result error = cuda::kSuccess;
};

class CudaQueue {
 public:
  static constexpr size_t kLaunchesMax = 32;
  static constexpr size_t kCopiesPerLaunchMax = 256;

  static absl::StatusOr<std::unique_ptr<CudaQueue>> Create(const cuda::PrimaryContext& context);
  ~CudaQueue();  // Waits for what was started, unless the device is lost.
  CudaQueue(const CudaQueue&) = delete;
  CudaQueue& operator=(const CudaQueue&) = delete;

  bool has_room() const { return !launches_free_.empty(); }
  bool idle() const { return launches_.empty(); }

  // REQUIRES: has_room(); at most kCopiesPerLaunchMax copies, and at least one.
  void Start(absl::Span<const CudaCopy> copies);

  // Appends what has ended.
  void Poll(std::vector<CudaEnded>& ended);

  // The error that lost the device; kSuccess while it is there.
  cuda::Result lost() const { return lost_; }

  // Waits for everything. For measuring, before the queue is used.
  cuda::Result Wait();
  cuda::Stream stream() const { return stream_; }

 private:
  struct Launch {
    cuda::Event event = nullptr;
    bool is_recorded = false;
    std::vector<CudaEnded> copies;
  };
  // Several copies that became one.
  struct Run {
    CudaCopy copy;
    size_t first = 0;  // In the launch.
    size_t count = 0;
  };

  explicit CudaQueue(const cuda::PrimaryContext& context) : driver_(context.driver()) {}
  void Merge(absl::Span<const CudaCopy> copies);
  void StartRuns(Launch& launch);
  bool StartBatch(Launch& launch, absl::Span<const Run> runs);
  void StartOne(Launch& launch, const Run& run);
  void Note(Launch& launch, const Run& run, cuda::Result error);
  void Record(Launch& launch);

  const cuda::DriverTable driver_;
  bool batches_ = false;
  cuda::Stream stream_ = nullptr;
  cuda::Result lost_ = cuda::kSuccess;
  std::array<Launch, kLaunchesMax> all_;
  std::vector<Launch*> launches_free_;
  std::deque<Launch*> launches_;  // Under way, oldest first.
  // Reused by Start.
  std::vector<Run> runs_;
  std::vector<cuda::DevicePointer> targets_;
  std::vector<cuda::DevicePointer> sources_;
  std::vector<size_t> sizes_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_HBM_CUDA_QUEUE_H_
