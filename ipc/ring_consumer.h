// ipc/ring_consumer.h
//
// The reading end of a ring (ipc/ring_layout.h). It never waits, reads each index once, and reads
// nothing behind what the producer says is there; payloads are copied out, because the other side
// can still change them where they are.
//
// Bounds: a message has at most kMessageBytesMax bytes; of its records all but the last are as long
// as a record may be, so one Read takes few of them however hostile the producer is.
//
// Ownership: borrows the memory. Thread-safety: one thread. Errors: kInvalidArgument, from then on
// always: what is in the ring is none.

#ifndef KVPAGER_IPC_RING_CONSUMER_H_
#define KVPAGER_IPC_RING_CONSUMER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/ring_layout.h"
#include "ipc/wire.h"

namespace kvpager {

class RingConsumer {
 public:
  explicit RingConsumer(RingMemory ring);

  // True: `bytes` is the next message, not verified in any way. False: no whole one is there.
  absl::StatusOr<bool> Read(MessageBytes& bytes);

  // Something was written that Read has not looked at.
  bool has_input() const { return ring_.control->tail.load() != head_; }

  // True, once per wait of the producer: ring its doorbell. To be asked after a Read.
  bool TakeBell();

  // From now on the producer rings our doorbell. False: there is something already.
  bool Sleep();
  void Awake();

 private:
  absl::Status Break(std::string_view what);
  absl::StatusOr<bool> LoadTail();
  absl::Status CheckRecord(const RingRecord& record);
  void Get(void* bytes, size_t count, uint64_t position) const;

  RingMemory ring_;
  uint64_t head_ = 0;
  uint64_t tail_ = 0;  // As last loaded, and checked.
  uint16_t number_ = 0;
  MessageBytes message_;  // Its records so far.
  absl::Status broken_;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_RING_CONSUMER_H_
