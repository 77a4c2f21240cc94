// ipc/deadline.h
//
// A moment on the monotonic clock by which a wait must be over. The pieces of one call share one
// deadline, so a call never takes a multiple of what its caller allowed. Thread-safety: a value.

#ifndef KVPAGER_IPC_DEADLINE_H_
#define KVPAGER_IPC_DEADLINE_H_

#include <time.h>

#include <cstdint>

namespace kvpager {

uint64_t MonotonicNs();

class Deadline {
 public:
  // 0: already passed, a poll. Very long ones never pass.
  static Deadline AfterUs(uint64_t us);

  bool passed() const { return MonotonicNs() >= at_ns_; }
  uint64_t at_ns() const { return at_ns_; }  // All ones: never.
  uint64_t remaining_ns() const;
  timespec remaining() const;  // For ppoll. Never more than an hour; callers look again.

 private:
  uint64_t at_ns_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_DEADLINE_H_
