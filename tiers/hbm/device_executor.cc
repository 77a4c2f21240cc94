#include "tiers/hbm/device_executor.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/crc32c.h"
#include "tiers/nvme/frame_header.h"

namespace kvpager {
namespace {

// A DeviceCopy's id: which operation, and how many bytes of it.
uint64_t MakeId(uint32_t slot, uint64_t length_bytes) { return length_bytes << 32 | slot; }
uint32_t SlotOf(uint64_t id) { return static_cast<uint32_t>(id); }
uint64_t LengthOf(uint64_t id) { return id >> 32; }

DeviceCopyKind KindOf(Channel channel) {
  switch (channel) {
    case Channel::kHbmToHost:
      return DeviceCopyKind::kToHost;
    case Channel::kHostToHbm:
      return DeviceCopyKind::kFromHost;
    case Channel::kHbmToHbm:
      return DeviceCopyKind::kWithin;
    case Channel::kScrub:
      return DeviceCopyKind::kZero;
    case Channel::kHostToNvme:
    case Channel::kNvmeToHost:
      break;
  }
  KVP_CHECK(false && "not a channel of the device");
}

// The frame in host memory that the operation reads or writes; none within HBM.
FrameIndex HostFrameOf(const CopyOp& copy) {
  if (copy.channel == Channel::kHbmToHost) return copy.target;
  if (copy.channel == Channel::kHostToHbm) return copy.source;
  return FrameIndex();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceExecutor>> DeviceExecutor::Create(const Options& options) {
  if (options.device->frame_bytes() != options.geometry.frame_bytes_hbm() ||
      options.arena->frame_bytes() != options.geometry.frame_bytes_host()) {
    return absl::InvalidArgumentError(
        absl::StrCat("device and host frames of ", options.device->frame_bytes(), " and ",
                     options.arena->frame_bytes(), " bytes do not fit pages of ",
                     options.geometry.payload_bytes(), " bytes"));
  }
  return std::unique_ptr<DeviceExecutor>(new DeviceExecutor(options));
}

DeviceExecutor::DeviceExecutor(const Options& options)
    : options_(options), payload_bytes_(options.geometry.payload_bytes()) {}

DeviceExecutor::~DeviceExecutor() {
  urgent_.clear();
  demotions_.clear();
  while (device_copies_ > 0) Reap();
}

void DeviceExecutor::Submit(absl::Span<const CopyOp> copies) {
  for (const CopyOp& copy : copies) {
    const uint32_t slot = Allocate(copy);
    ++in_flight_;
    if (copy.channel == Channel::kHostToHbm &&
        !HostPartNames(options_.arena->header(copy.source), copy.page, payload_bytes_)) {
      Finish(slot, Outcome::kCorrupt);
      continue;
    }
    (IsDemotion(copy.channel) ? demotions_ : urgent_).push_back(slot);
  }
  FeedDevice();
}

size_t DeviceExecutor::Poll(absl::Span<Completion> out) {
  Reap();
  CheckSlices();
  FeedDevice();
  const size_t count = std::min(out.size(), done_.size());
  std::copy_n(done_.begin(), count, out.begin());
  done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
  in_flight_ -= static_cast<uint32_t>(count);
  return count;
}

// A scrub covers the padding too; everything else moves what the geometry uses.
uint64_t DeviceExecutor::LengthBytes(Channel channel) const {
  return channel == Channel::kScrub ? options_.device->frame_bytes() : payload_bytes_;
}

void DeviceExecutor::FeedDevice() {
  batch_.clear();
  const uint32_t copies_max = options_.device->copies_max();
  while (!urgent_.empty() && device_copies_ < copies_max) {
    AddPiece(urgent_.front(), LengthBytes(operations_[urgent_.front()].copy.channel));
    urgent_.pop_front();
  }
  // R7: while something urgent waits, no demotion starts; else one piece's worth at a time.
  while (urgent_.empty() && !demotions_.empty() && device_copies_ < copies_max) {
    const uint32_t slot = demotions_.front();
    const uint64_t left_bytes = payload_bytes_ - operations_[slot].submitted_bytes;
    const uint64_t piece_bytes = std::min(left_bytes, kDemotionPieceBytes);
    if (demotion_bytes_ + piece_bytes > kDemotionPieceBytes) break;
    AddPiece(slot, piece_bytes);
    demotion_bytes_ += piece_bytes;
    if (piece_bytes == left_bytes) demotions_.pop_front();
  }
  if (!batch_.empty()) options_.device->Submit(batch_);
}

void DeviceExecutor::AddPiece(uint32_t slot, uint64_t bytes) {
  Operation& operation = operations_[slot];
  const CopyOp& copy = operation.copy;
  DeviceCopy piece{.id = MakeId(slot, bytes),
                   .kind = KindOf(copy.channel),
                   .source = copy.source,
                   .target = copy.target,
                   .offset_bytes = operation.submitted_bytes,
                   .length_bytes = bytes};
  if (const FrameIndex host = HostFrameOf(copy); !host.is_none()) {
    piece.host = options_.arena->frame(host) + operation.submitted_bytes;
  }
  operation.submitted_bytes += bytes;
  ++device_copies_;
  batch_.push_back(piece);
}

void DeviceExecutor::Reap() {
  std::array<DeviceDone, 64> ended;
  const size_t count = options_.device->Poll(absl::MakeSpan(ended));
  for (const DeviceDone& done : absl::MakeConstSpan(ended.data(), count)) {
    const uint32_t slot = SlotOf(done.id);
    Operation& operation = operations_[slot];
    --device_copies_;
    operation.copied_bytes += LengthOf(done.id);
    if (IsDemotion(operation.copy.channel)) demotion_bytes_ -= LengthOf(done.id);
    if (operation.error == 0) operation.error = done.error;
    if (operation.copied_bytes < LengthBytes(operation.copy.channel)) continue;
    if (operation.error != 0) {
      Finish(slot, Outcome::kFailed);
    } else if (HostFrameOf(operation.copy).is_none()) {
      Finish(slot, Outcome::kOk);
    } else if (IsDemotion(operation.copy.channel)) {
      checks_.push_back(slot);
    } else {
      checks_.push_front(slot);
    }
  }
}

void DeviceExecutor::CheckSlices() {
  uint64_t budget_bytes = kSliceBytes;
  while (!checks_.empty() && budget_bytes > 0) {
    const uint32_t slot = checks_.front();
    Operation& operation = operations_[slot];
    if (!CheckSlice(operation, budget_bytes)) return;
    checks_.pop_front();
    const CopyOp& copy = operation.copy;
    std::byte* header = options_.arena->header(HostFrameOf(copy));
    if (IsDemotion(copy.channel)) {
      SetHostPart(header, copy.page, payload_bytes_, operation.crc);
      Finish(slot, Outcome::kOk);
    } else {
      // After the copy, so that bytes that changed before or during it are noticed.
      Finish(slot, operation.crc == PayloadCrc(header) ? Outcome::kOk : Outcome::kCorrupt);
    }
  }
}

// True when the checksum of the host frame's payload is complete.
bool DeviceExecutor::CheckSlice(Operation& operation, uint64_t& budget_bytes) {
  const uint64_t bytes = std::min(budget_bytes, payload_bytes_ - operation.checked_bytes);
  const std::byte* payload = options_.arena->frame(HostFrameOf(operation.copy));
  operation.crc = Crc32c({payload + operation.checked_bytes, bytes}, operation.crc);
  operation.checked_bytes += bytes;
  budget_bytes -= bytes;
  return operation.checked_bytes == payload_bytes_;
}

void DeviceExecutor::Finish(uint32_t slot, Outcome outcome) {
  const Operation& operation = operations_[slot];
  moved_bytes_[ChannelIndex(operation.copy.channel)].fetch_add(operation.copied_bytes,
                                                               std::memory_order_relaxed);
  done_.push_back({.op = operation.copy.op, .outcome = outcome, .os_error = operation.error});
  slots_free_.push_back(slot);
}

uint32_t DeviceExecutor::Allocate(const CopyOp& copy) {
  if (slots_free_.empty()) {
    slots_free_.push_back(static_cast<uint32_t>(operations_.size()));
    operations_.emplace_back();
  }
  const uint32_t slot = slots_free_.back();
  slots_free_.pop_back();
  operations_[slot] = Operation{.copy = copy};
  return slot;
}

}  // namespace kvpager
