// memmgr/daemon/clock.h
//
// Where the daemon reads the time: the monotonic clock, once per turn of the loop, and nowhere
// else.

#ifndef KVPAGER_MEMMGR_DAEMON_CLOCK_H_
#define KVPAGER_MEMMGR_DAEMON_CLOCK_H_

#include "ipc/deadline.h"
#include "memmgr/base/ids.h"

namespace kvpager {

inline Instant MonotonicNow() { return Instant{MonotonicNs()}; }

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_CLOCK_H_
