#include "ipc/ring_consumer.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {

RingConsumer::RingConsumer(RingMemory ring) : ring_(ring) {
  KVP_CHECK(ring.data.size() >= 64 && (ring.data.size() & (ring.data.size() - 1)) == 0);
}

absl::Status RingConsumer::Break(std::string_view what) {
  broken_ = absl::InvalidArgumentError(absl::StrCat("the ring has ", std::string(what)));
  return broken_;
}

absl::StatusOr<bool> RingConsumer::LoadTail() {
  const uint64_t tail = ring_.control->tail.load();
  if (tail == head_) return false;
  if (tail - head_ > ring_.data.size()) {
    return Break("a tail that is not within its bytes of the head");
  }
  if (tail % kRingAlignment != 0) return Break("a tail that is no multiple of 8");
  tail_ = tail;
  return true;
}

absl::Status RingConsumer::CheckRecord(const RingRecord& record) {
  if (record.number != number_) {
    return Break(absl::StrCat("record ", record.number, " where ", number_, " is due"));
  }
  if ((record.flags & ~RingRecord::kGoesOn) != 0) {
    return Break(absl::StrCat("a record with flags ", record.flags));
  }
  const size_t bytes_max = ring_.record_bytes_max();
  const bool goes_on = record.flags != 0;
  if (record.bytes == 0 || record.bytes > bytes_max || (goes_on && record.bytes != bytes_max)) {
    return Break(absl::StrCat("a record of ", record.bytes, " bytes"));
  }
  if (RingRecordRoom(record.bytes) > tail_ - head_) {
    return Break("a record that ends behind the tail");
  }
  if (message_.size() + record.bytes + (goes_on ? 1 : 0) > kMessageBytesMax) {
    return Break(absl::StrCat("a message of more than ", kMessageBytesMax, " bytes"));
  }
  return absl::OkStatus();
}

void RingConsumer::Get(void* bytes, size_t count, uint64_t position) const {
  const size_t at = position & (ring_.data.size() - 1);
  const size_t first = std::min(count, ring_.data.size() - at);
  std::memcpy(bytes, ring_.data.data() + at, first);
  if (count > first) {
    std::memcpy(static_cast<uint8_t*>(bytes) + first, ring_.data.data(), count - first);
  }
}

absl::StatusOr<bool> RingConsumer::Read(MessageBytes& bytes) {
  KVP_RETURN_IF_ERROR(broken_);
  while (true) {
    if (tail_ == head_) {
      KVP_ASSIGN_OR_RETURN(const bool more, LoadTail());
      if (!more) return false;
    }
    RingRecord record;  // A copy: what is checked is what is used.
    Get(&record, sizeof(record), head_);
    KVP_RETURN_IF_ERROR(CheckRecord(record));
    const size_t before = message_.size();
    message_.resize(before + record.bytes);
    Get(message_.data() + before, record.bytes, head_ + sizeof(record));
    ++number_;
    head_ += RingRecordRoom(record.bytes);
    ring_.control->head.store(head_);
    if (record.flags == 0) break;
  }
  bytes.swap(message_);
  message_.clear();
  return true;
}

bool RingConsumer::TakeBell() {
  // Half of the room first, so that a producer that waits is not woken for each record.
  if (tail_ - head_ > ring_.data.size() / 2) return false;
  std::atomic<uint32_t>& waits = ring_.control->producer_waits;
  return waits.load() != 0 && waits.exchange(0) != 0;
}

bool RingConsumer::Sleep() {
  ring_.control->consumer_sleeps.store(1);
  if (!has_input()) return true;
  ring_.control->consumer_sleeps.store(0);
  return false;
}

void RingConsumer::Awake() {
  if (ring_.control->consumer_sleeps.load() != 0) ring_.control->consumer_sleeps.store(0);
}

}  // namespace kvpager
