#include "tiers/hbm/cuda_queue.h"

#include <cstddef>
#include <memory>
#include <vector>

#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

bool IsFill(const CudaCopy& copy) { return copy.source == 0; }

bool AreNeighbours(const CudaCopy& first, const CudaCopy& second) {
  if (first.region != second.region || IsFill(first) != IsFill(second)) return false;
  if (first.target + first.bytes != second.target) return false;
  return IsFill(first) || first.source + first.bytes == second.source;
}

// What a driver says that has the entry point and cannot serve it.
bool IsMissing(cuda::Result error) {
  return error == cuda::kNotSupported || error == cuda::kCallRequiresNewerDriver;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaQueue>> CudaQueue::Create(const cuda::PrimaryContext& context) {
  auto queue = std::unique_ptr<CudaQueue>(new CudaQueue(context));
  const cuda::DriverTable& driver = context.driver();
  queue->batches_ = driver.has_copy_batch();
  KVP_RETURN_IF_ERROR(ToStatus(driver,
                               driver.stream_create(&queue->stream_, cuda::kStreamNonBlocking),
                               "cannot make a CUDA stream"));
  for (Launch& launch : queue->all_) {
    KVP_RETURN_IF_ERROR(ToStatus(driver,
                                 driver.event_create(&launch.event, cuda::kEventDisableTiming),
                                 "cannot make a CUDA event"));
    launch.copies.reserve(kCopiesPerLaunchMax);
    queue->launches_free_.push_back(&launch);
  }
  return queue;
}

CudaQueue::~CudaQueue() {
  if (!launches_.empty()) Wait();
  for (Launch& launch : all_) {
    if (launch.event != nullptr) driver_.event_destroy(launch.event);
  }
  if (stream_ != nullptr) driver_.stream_destroy(stream_);
}

cuda::Result CudaQueue::Wait() { return driver_.stream_synchronize(stream_); }

void CudaQueue::Start(absl::Span<const CudaCopy> copies) {
  KVP_CHECK(has_room());
  KVP_CHECK(!copies.empty() && copies.size() <= kCopiesPerLaunchMax);
  Launch& launch = *launches_free_.back();
  launches_free_.pop_back();
  launches_.push_back(&launch);
  launch.copies.clear();
  for (const CudaCopy& copy : copies) launch.copies.push_back({copy.tag, lost_});
  launch.is_recorded = false;
  if (lost_ != cuda::kSuccess) return;
  Merge(copies);
  StartRuns(launch);
  Record(launch);
}

void CudaQueue::Merge(absl::Span<const CudaCopy> copies) {
  runs_.clear();
  for (size_t i = 0; i < copies.size(); ++i) {
    if (!runs_.empty() && AreNeighbours(runs_.back().copy, copies[i])) {
      runs_.back().copy.bytes += copies[i].bytes;
      ++runs_.back().count;
    } else {
      runs_.push_back({copies[i], i, 1});
    }
  }
}

// Fills one by one, stretches of copies as a batch where the driver has it.
void CudaQueue::StartRuns(Launch& launch) {
  size_t at = 0;
  while (at < runs_.size()) {
    size_t end = at;
    while (end < runs_.size() && !IsFill(runs_[end].copy)) ++end;
    const auto copies = absl::MakeConstSpan(runs_).subspan(at, end - at);
    if (copies.size() < 2 || !StartBatch(launch, copies)) {
      for (const Run& run : copies) StartOne(launch, run);
    }
    if (end < runs_.size()) StartOne(launch, runs_[end++]);
    at = end;
  }
}

// False: no batches here, and none of it was started.
bool CudaQueue::StartBatch(Launch& launch, absl::Span<const Run> runs) {
  if (!batches_) return false;
  targets_.clear();
  sources_.clear();
  sizes_.clear();
  for (const Run& run : runs) {
    targets_.push_back(run.copy.target);
    sources_.push_back(run.copy.source);
    sizes_.push_back(run.copy.bytes);
  }
  cuda::CopyAttributes attributes;
  attributes.flags = cuda::kCopyOverlapsCompute;
  size_t first = 0;
  size_t failed = 0;
  const cuda::Result error =
      driver_.copy_batch != nullptr
          ? driver_.copy_batch(targets_.data(), sources_.data(), sizes_.data(), runs.size(),
                               &attributes, &first, 1, stream_)
          : driver_.copy_batch_12(targets_.data(), sources_.data(), sizes_.data(), runs.size(),
                                  &attributes, &first, 1, &failed, stream_);
  if (IsMissing(error)) {
    batches_ = false;
    return false;
  }
  // Some of them may have been started: which, the driver does not promise to say.
  for (const Run& run : runs) Note(launch, run, error);
  return true;
}

void CudaQueue::StartOne(Launch& launch, const Run& run) {
  const CudaCopy& copy = run.copy;
  Note(launch, run,
       IsFill(copy) ? driver_.fill_async(copy.target, 0, copy.bytes, stream_)
                    : driver_.copy_async(copy.target, copy.source, copy.bytes, stream_));
}

void CudaQueue::Note(Launch& launch, const Run& run, cuda::Result error) {
  if (cuda::IsDeviceLost(error)) lost_ = error;
  for (size_t i = run.first; i < run.first + run.count; ++i) launch.copies[i].error = error;
}

// Without an event behind it the launch's end can only be waited for; that is rare.
void CudaQueue::Record(Launch& launch) {
  const cuda::Result error = driver_.event_record(launch.event, stream_);
  launch.is_recorded = error == cuda::kSuccess;
  if (launch.is_recorded) return;
  if (const cuda::Result waited = Wait(); waited != cuda::kSuccess) lost_ = waited;
}

void CudaQueue::Poll(std::vector<CudaEnded>& ended) {
  while (!launches_.empty()) {
    Launch& launch = *launches_.front();
    if (lost_ == cuda::kSuccess && launch.is_recorded) {
      const cuda::Result error = driver_.event_query(launch.event);
      if (error == cuda::kNotReady) return;
      // Whatever it is, whether the copies still run can no longer be known.
      if (error != cuda::kSuccess) lost_ = error;
    }
    for (CudaEnded& copy : launch.copies) {
      if (lost_ != cuda::kSuccess) copy.error = lost_;
      ended.push_back(copy);
    }
    launches_free_.push_back(&launch);
    launches_.pop_front();
  }
}

}  // namespace kvpager
