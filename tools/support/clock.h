// tools/support/clock.h
//
// The clock of the tools, in nanoseconds since an arbitrary origin.

#ifndef KVPAGER_TOOLS_SUPPORT_CLOCK_H_
#define KVPAGER_TOOLS_SUPPORT_CLOCK_H_

#include <chrono>
#include <cstdint>
#include <ctime>

namespace kvpager::tools {

inline uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

// For the pauses between attempts to reach a daemon, never for correctness.
inline void PauseUs(uint64_t us) {
  const timespec pause = {static_cast<time_t>(us / 1'000'000),
                          static_cast<long>(us % 1'000'000 * 1'000)};
  nanosleep(&pause, nullptr);
}

}  // namespace kvpager::tools

#endif  // KVPAGER_TOOLS_SUPPORT_CLOCK_H_
