// ipc/ring_layout.h
//
// The ring of one engine: one shared region with a byte ring for each direction. A ring has one
// producer and one consumer and carries the very messages of ipc/wire.h.
//
//   offset            content
//        0            RingControl of the requests (engine -> daemon)
//      512            RingControl of the answers (daemon -> engine)
//     4096            data of the requests, kRingBytes
//     4096 + 256 KiB  data of the answers, kRingBytes
//
//   RingControl + 0     tail: bytes ever written; stored by the producer
//               + 128   head: bytes ever taken; stored by the consumer
//               + 256   consumer_sleeps: ring its doorbell after the next store to tail
//               + 384   producer_waits: ring its doorbell once there is room
//
// A record begins at a multiple of 8 and goes on at the start of the data where the end is reached:
//
//   offset  size  field
//        0     4  bytes of payload, 1 .. record_bytes_max() (a quarter of the data)
//        4     2  flags: 1, the message goes on in the next record, and this one is of the maximum
//        6     2  number of the record, counted from 0, modulo 65,536
//        8        payload, padded to a multiple of 8
//
// No wake-up is lost. The consumer stores consumer_sleeps = 1, then loads tail, and sleeps only if
// nothing is there. The producer stores tail, then loads consumer_sleeps. In the one order of all
// sequentially consistent operations either the consumer's store comes before the producer's load:
// then the bell is rung; or behind it: then so does the consumer's load of tail, and it sees the
// record. With producer_waits and head it is the same, the other way round.
//
// Nobody trusts the other side: each keeps its own index to itself, checks the other's when it
// loads it, and copies a payload out before it looks at it.
//
// Do not renumber. Ownership: the daemon makes the region, both sides map it. Thread-safety: one
// producer and one consumer per ring.

#ifndef KVPAGER_IPC_RING_LAYOUT_H_
#define KVPAGER_IPC_RING_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace kvpager {

inline constexpr size_t kRingBytes = size_t{256} << 10;  // A power of two; per direction.
inline constexpr size_t kRingDataOffset = 4096;
inline constexpr size_t kRingRegionBytes = kRingDataOffset + 2 * kRingBytes;
inline constexpr size_t kRingAlignment = 8;

struct RingControl {
  alignas(128) std::atomic<uint64_t> tail{0};
  alignas(128) std::atomic<uint64_t> head{0};
  alignas(128) std::atomic<uint32_t> consumer_sleeps{0};
  alignas(128) std::atomic<uint32_t> producer_waits{0};
};

struct RingControls {
  RingControl requests;
  RingControl answers;
};
static_assert(sizeof(RingControl) == 512);
static_assert(offsetof(RingControls, answers) == 512);
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

struct RingRecord {
  static constexpr uint16_t kGoesOn = 1;

  uint32_t bytes = 0;
  uint16_t flags = 0;
  uint16_t number = 0;
};
static_assert(sizeof(RingRecord) == kRingAlignment);

// One direction, where it is mapped.
struct RingMemory {
  RingControl* control = nullptr;
  absl::Span<uint8_t> data;  // A power of two, at least 64.

  size_t record_bytes_max() const { return data.size() / 4; }
};

// What a record of `payload_bytes` takes.
inline constexpr size_t RingRecordRoom(size_t payload_bytes) {
  return sizeof(RingRecord) +
         (payload_bytes + kRingAlignment - 1) / kRingAlignment * kRingAlignment;
}

}  // namespace kvpager

#endif  // KVPAGER_IPC_RING_LAYOUT_H_
