#include "ipc/ring_producer.h"

#include <algorithm>
#include <cstring>

#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {

RingProducer::RingProducer(RingMemory ring) : ring_(ring) {
  KVP_CHECK(ring.data.size() >= 64 && (ring.data.size() & (ring.data.size() - 1)) == 0);
}

size_t RingProducer::RecordBytes(absl::Span<const uint8_t> message, size_t begin) const {
  KVP_CHECK_LT(begin, message.size());
  return std::min(message.size() - begin, ring_.record_bytes_max());
}

absl::StatusOr<bool> RingProducer::HasRoom(size_t bytes) {
  if (ring_.data.size() - (tail_ - head_) >= bytes) return true;
  const uint64_t head = ring_.control->head.load();
  if (head - head_ > tail_ - head_ || head % kRingAlignment != 0) {
    return absl::InvalidArgumentError("the head of the ring is no place that was written");
  }
  head_ = head;
  return ring_.data.size() - (tail_ - head_) >= bytes;
}

void RingProducer::Put(const void* bytes, size_t count) {
  const size_t at = tail_ & (ring_.data.size() - 1);
  const size_t first = std::min(count, ring_.data.size() - at);
  std::memcpy(ring_.data.data() + at, bytes, first);
  if (count > first) {
    std::memcpy(ring_.data.data(), static_cast<const uint8_t*>(bytes) + first, count - first);
  }
}

absl::StatusOr<size_t> RingProducer::Write(absl::Span<const uint8_t> message, size_t begin) {
  while (begin < message.size()) {
    const size_t bytes = RecordBytes(message, begin);
    const size_t room = RingRecordRoom(bytes);
    KVP_ASSIGN_OR_RETURN(const bool has_room, HasRoom(room));
    if (!has_room) break;
    const bool goes_on = begin + bytes < message.size();
    const RingRecord record = {.bytes = static_cast<uint32_t>(bytes),
                               .flags = goes_on ? RingRecord::kGoesOn : uint16_t{0},
                               .number = number_++};
    Put(&record, sizeof(record));
    tail_ += sizeof(record);
    Put(message.data() + begin, bytes);
    tail_ += room - sizeof(record);
    ring_.control->tail.store(tail_);
    begin += bytes;
  }
  return begin;
}

bool RingProducer::TakeBell() {
  std::atomic<uint32_t>& sleeps = ring_.control->consumer_sleeps;
  return sleeps.load() != 0 && sleeps.exchange(0) != 0;
}

bool RingProducer::WaitForRoom(absl::Span<const uint8_t> message, size_t begin) {
  ring_.control->producer_waits.store(1);
  const absl::StatusOr<bool> room = HasRoom(RingRecordRoom(RecordBytes(message, begin)));
  if (room.ok() && !*room) return true;
  ring_.control->producer_waits.store(0);
  return false;
}

}  // namespace kvpager
