// memmgr/daemon/leases.h
//
// How long an engine has been inside a step, and when that is too long (decision 0007).
//
// A step is *held* from when its engine may read its pages until it has ended: a pinned step from
// its answer on, a step without a message as long as `begun` is above `done`. Held steps are
// noticed when they are looked at, so that an age is never more than the true one.
//
// Ages run on a clock that stands still while the daemon does: what it did not look at, because it
// was stopped or busy, it does not hold against anybody.
//
// Thread-safety: none. Errors: none.

#ifndef KVPAGER_MEMMGR_DAEMON_LEASES_H_
#define KVPAGER_MEMMGR_DAEMON_LEASES_H_

#include <array>
#include <cstdint>

#include "memmgr/base/ids.h"
#include "memmgr/core/limbo.h"

namespace kvpager {

class LeaseClock {
 public:
  // Longer gaps between two calls count as one of this length.
  static constexpr uint64_t kGapNsMax = 1'000'000'000;

  // REQUIRES: now never goes back.
  uint64_t Advance(Instant now);
  uint64_t now_ns() const { return now_ns_; }

 private:
  Instant last_;
  bool started_ = false;
  uint64_t now_ns_ = 0;
};

// The oldest held step of each lane of one engine, and since when it has been seen.
class HeldSteps {
 public:
  // `oldest` by lane: the number of the oldest held step; 0: none.
  void Note(const std::array<uint64_t, kLanesMax>& oldest, uint64_t clock_ns);
  // Of the oldest of all; 0 if none is held.
  uint64_t age_ns(uint64_t clock_ns) const;

 private:
  std::array<uint64_t, kLanesMax> step_{};
  std::array<uint64_t, kLanesMax> since_ns_{};
};

enum class LeaseVerdict : uint8_t { kFine, kOverdue, kEnded };

// Waiting: the engine has asked for another step and has no answer yet. It may be unable to go on
// before it has one, for which others may be to blame: then its lease is twice as long.
enum class EngineWaits : uint8_t { kNo, kYes };

// Overdue from half the lease on. A lease of 0 never ends.
LeaseVerdict JudgeLease(uint64_t age_ns, EngineWaits waits, uint64_t lease_ns);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_LEASES_H_
