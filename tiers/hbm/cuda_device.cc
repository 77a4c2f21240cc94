#include "tiers/hbm/cuda_device.h"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {

CudaDevice::CudaDevice(const Options& options) : options_(options), active_(kCopiesMax) {
  for (uint32_t i = kCopiesMax; i > 0; --i) active_free_.push_back(i - 1);
}

cuda::Result CudaDevice::lost() const {
  for (const Way* way : {&up_, &down_}) {
    if (way->queue->lost() != cuda::kSuccess) return way->queue->lost();
  }
  return cuda::kSuccess;
}

absl::Status CudaDevice::health() const {
  if (lost() == cuda::kSuccess) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the CUDA device ", options_.ordinal, " (", context_->name(),
                   ") is lost: ", cuda::ErrorText(options_.driver, lost()),
                   "; what was in HBM is gone, look at the kernel's log (NVRM, Xid)"));
}

absl::Status CudaDevice::RegisterHostMemory(std::byte* base, uint64_t bytes) {
  KVP_CHECK(registrar_ == nullptr);
  KVP_ASSIGN_OR_RETURN(
      registrar_, CudaRegistrar::Start(*context_, base, bytes, options_.register_region_bytes));
  return absl::OkStatus();
}

cuda::DevicePointer CudaDevice::AddressOf(FrameIndex frame, uint64_t offset_bytes) const {
  KVP_CHECK_LT(frame.value, options_.frames);
  return pool_->base() + frame.value * options_.frame_bytes + offset_bytes;
}

void CudaDevice::Submit(absl::Span<const DeviceCopy> copies) {
  for (const DeviceCopy& copy : copies) {
    KVP_CHECK_LE(copy.offset_bytes, options_.frame_bytes);
    KVP_CHECK_LE(copy.length_bytes, options_.frame_bytes - copy.offset_bytes);
    KVP_CHECK_GT(copy.length_bytes, 0u);
    KVP_CHECK(!active_free_.empty());
    const uint32_t index = active_free_.back();
    active_free_.pop_back();
    active_[index] = Active{.copy = copy};
    ++copies_;
    (copy.kind == DeviceCopyKind::kToHost ? down_ : up_).waiting.push_back(index);
  }
  Pump();
}

// Promotions first: they get the staging slots before demotions do (R7).
void CudaDevice::Pump() {
  if (lost() != cuda::kSuccess) {
    FailWaiting(up_);
    FailWaiting(down_);
    return;
  }
  uint64_t budget_bytes = kStagingSliceBytes;
  PumpWay(up_, budget_bytes);
  PumpWay(down_, budget_bytes);
}

void CudaDevice::PumpWay(Way& way, uint64_t& budget_bytes) {
  while (!way.waiting.empty() && way.queue->has_room()) {
    batch_.clear();
    while (!way.waiting.empty() && batch_.size() < CudaQueue::kCopiesPerLaunchMax) {
      const uint32_t index = way.waiting.front();
      if (!AddPiece(index, budget_bytes)) break;
      if (active_[index].started_bytes == active_[index].copy.length_bytes) way.waiting.pop_front();
    }
    if (batch_.empty()) return;
    way.queue->Start(batch_);
  }
}

// Starts as much of the copy as one piece may be; false if it has to wait for a staging slot.
bool CudaDevice::AddPiece(uint32_t index, uint64_t& budget_bytes) {
  Active& active = active_[index];
  const DeviceCopy& copy = active.copy;
  const uint64_t at = active.started_bytes;
  CudaCopy piece;
  piece.bytes = copy.length_bytes - at;
  piece.tag = {.copy = index, .staging_slot = kNoSlot, .offset_bytes = at};
  const bool to_host = copy.kind == DeviceCopyKind::kToHost;
  cuda::DevicePointer host = 0;
  if (to_host || copy.kind == DeviceCopyKind::kFromHost) {
    std::byte* address = copy.host + at;
    const CudaRegistrar::Place place = registrar_ == nullptr
                                           ? CudaRegistrar::Place{.bytes = piece.bytes}
                                           : registrar_->Find(address);
    piece.bytes = std::min(piece.bytes, place.bytes);
    piece.region = place.region;
    if (!place.is_registered) {
      piece.bytes = std::min(piece.bytes, kStagingSlotBytes);
      if (slots_free_.empty() || piece.bytes > budget_bytes) return false;
      budget_bytes -= piece.bytes;
      staged_bytes_ += piece.bytes;
      piece.tag.staging_slot = slots_free_.back();
      slots_free_.pop_back();
      if (!to_host) std::memcpy(SlotOf(piece.tag.staging_slot), address, piece.bytes);
      address = SlotOf(piece.tag.staging_slot);
      piece.region = ~uint64_t{piece.tag.staging_slot};
    }
    host = reinterpret_cast<cuda::DevicePointer>(address);
  }
  piece.tag.bytes = piece.bytes;
  const uint64_t offset = copy.offset_bytes + at;
  piece.target = to_host ? host : AddressOf(copy.target, offset);
  if (copy.kind == DeviceCopyKind::kFromHost) piece.source = host;
  if (to_host || copy.kind == DeviceCopyKind::kWithin) {
    piece.source = AddressOf(copy.source, offset);
  }
  active.started_bytes += piece.bytes;
  batch_.push_back(piece);
  return true;
}

size_t CudaDevice::Poll(absl::Span<DeviceDone> out) {
  if (copies_ == 0) return 0;
  ended_.clear();
  up_.queue->Poll(ended_);
  down_.queue->Poll(ended_);
  for (const CudaEnded& ended : ended_) NoteEnded(ended);
  Pump();
  const size_t count = std::min(out.size(), done_.size());
  std::copy_n(done_.begin(), count, out.begin());
  done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
  copies_ -= static_cast<uint32_t>(count);
  return count;
}

void CudaDevice::NoteEnded(const CudaEnded& ended) {
  Active& active = active_[ended.tag.copy];
  if (ended.error != cuda::kSuccess) active.error = ended.error;
  if (const uint32_t slot = ended.tag.staging_slot; slot != kNoSlot) {
    if (active.copy.kind == DeviceCopyKind::kToHost && ended.error == cuda::kSuccess) {
      std::memcpy(active.copy.host + ended.tag.offset_bytes, SlotOf(slot), ended.tag.bytes);
    }
    slots_free_.push_back(slot);
  }
  active.ended_bytes += ended.tag.bytes;
  FinishIfDone(ended.tag.copy);
}

void CudaDevice::FinishIfDone(uint32_t index) {
  const Active& active = active_[index];
  if (active.ended_bytes < active.copy.length_bytes) return;
  if (active.error != cuda::kSuccess) {
    ++failed_copies_;
    last_error_ = active.error;
  }
  const int32_t error = active.error == cuda::kSuccess ? 0
                        : lost() == cuda::kSuccess     ? EIO
                                                       : ENODEV;
  done_.push_back({.id = active.copy.id, .error = error});
  active_free_.push_back(index);
}

// What is not started never will be.
void CudaDevice::FailWaiting(Way& way) {
  for (const uint32_t index : way.waiting) {
    Active& active = active_[index];
    active.error = lost();
    active.ended_bytes += active.copy.length_bytes - active.started_bytes;
    active.started_bytes = active.copy.length_bytes;
    FinishIfDone(index);
  }
  way.waiting.clear();
}

}  // namespace kvpager
