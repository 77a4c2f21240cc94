// ipc/ring_producer.h
//
// The writing end of a ring (ipc/ring_layout.h). It never waits.
//
// Ownership: borrows the memory. Thread-safety: one thread. Errors: kInvalidArgument, the
// consumer's index is impossible: the other side is broken, and nothing more may be written.

#ifndef KVPAGER_IPC_RING_PRODUCER_H_
#define KVPAGER_IPC_RING_PRODUCER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/ring_layout.h"

namespace kvpager {

class RingProducer {
 public:
  explicit RingProducer(RingMemory ring);

  // Writes what fits of message[begin, ...) and returns where the rest begins: the size of the
  // message when all of it is written. REQUIRES: begin is less than that, and 0 or what the call
  // before returned for the same message.
  absl::StatusOr<size_t> Write(absl::Span<const uint8_t> message, size_t begin);

  // True, once per sleep of the consumer: ring its doorbell. To be asked after a Write.
  bool TakeBell();

  // From now on the consumer rings our doorbell when there is room. False: there is room for the
  // record at `begin` already, or the consumer is broken.
  bool WaitForRoom(absl::Span<const uint8_t> message, size_t begin);

 private:
  size_t RecordBytes(absl::Span<const uint8_t> message, size_t begin) const;
  absl::StatusOr<bool> HasRoom(size_t bytes);
  void Put(const void* bytes, size_t count);

  RingMemory ring_;
  uint64_t tail_ = 0;
  uint64_t head_ = 0;  // As last loaded, and checked.
  uint16_t number_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_RING_PRODUCER_H_
