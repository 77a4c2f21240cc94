// ipc/ring_port.h
//
// One side's end of a ring region: takes messages in, sends messages out, rings and hears the
// doorbell. It never waits. What does not fit the ring waits in a bounded backlog, which Pump moves
// on when there is room.
//
//   to sleep     if (port.Sleep()) wait until port.bell_fd() is readable; port.Awake()
//
// Ownership: the region and its end of the doorbell. Thread-safety: one thread. Errors:
// kInvalidArgument, from then on always: the other side has put garbage into the region.
// kResourceExhausted: it does not read.

#ifndef KVPAGER_IPC_RING_PORT_H_
#define KVPAGER_IPC_RING_PORT_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/doorbell.h"
#include "ipc/ring_consumer.h"
#include "ipc/ring_layout.h"
#include "ipc/ring_producer.h"
#include "ipc/shm_region.h"
#include "ipc/wire.h"

namespace kvpager {

enum class RingSide { kDaemon, kEngine };

class RingPort {
 public:
  static constexpr size_t kBacklogMessagesMax = 4096;
  static constexpr size_t kBacklogBytesMax = size_t{32} << 20;

  // A fresh region, empty rings.
  static absl::StatusOr<ShmRegion> MakeRegion();

  // REQUIRES: `region` has at least kRingRegionBytes.
  RingPort(ShmRegion region, Doorbell bell, RingSide side);

  int region_fd() const { return region_.fd(); }
  int bell_fd() const { return bell_.fd(); }
  bool has_input() const { return consumer_.has_input(); }
  bool has_backlog() const { return !backlog_.empty(); }
  uint64_t bells_rung() const { return bells_rung_; }

  // True: `bytes` is the next message. False: no whole one has come.
  absl::StatusOr<bool> Receive(MessageBytes& bytes);

  // Writes it, or queues what does not fit. kResourceExhausted: the backlog is full, and nothing
  // was sent.
  absl::Status Send(absl::Span<const uint8_t> bytes);
  // Moves the backlog on.
  absl::Status Pump();

  // Asks the other side to ring for what we wait for: a message, and room if there is a backlog.
  // False: something is there already, do not sleep.
  bool Sleep();
  void Awake() { consumer_.Awake(); }
  // Call when bell_fd() is readable. False: the other side has closed its end.
  bool Silence() { return bell_.Silence(); }
  void CloseBell() { bell_ = Doorbell(); }

 private:
  absl::Status Note(const absl::Status& status);
  absl::Status PumpSome();
  void Ring();

  ShmRegion region_;
  Doorbell bell_;
  RingConsumer consumer_;
  RingProducer producer_;
  std::deque<MessageBytes> backlog_;
  size_t backlog_bytes_ = 0;
  size_t begin_ = 0;  // Of the rest of the backlog's first message.
  absl::Status broken_;
  uint64_t bells_rung_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_RING_PORT_H_
