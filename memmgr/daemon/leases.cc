#include "memmgr/daemon/leases.h"

#include <algorithm>
#include <cstdint>

namespace kvpager {

uint64_t LeaseClock::Advance(Instant now) {
  if (started_) now_ns_ += std::min(now.ns - last_.ns, kGapNsMax);
  started_ = true;
  last_ = now;
  return now_ns_;
}

void HeldSteps::Note(const std::array<uint64_t, kLanesMax>& oldest, uint64_t clock_ns) {
  for (uint32_t lane = 0; lane < kLanesMax; ++lane) {
    if (oldest[lane] == step_[lane]) continue;
    step_[lane] = oldest[lane];
    since_ns_[lane] = clock_ns;
  }
}

uint64_t HeldSteps::age_ns(uint64_t clock_ns) const {
  uint64_t age_ns = 0;
  for (uint32_t lane = 0; lane < kLanesMax; ++lane) {
    if (step_[lane] != 0) age_ns = std::max(age_ns, clock_ns - since_ns_[lane]);
  }
  return age_ns;
}

LeaseVerdict JudgeLease(uint64_t age_ns, EngineWaits waits, uint64_t lease_ns) {
  if (lease_ns == 0) return LeaseVerdict::kFine;
  if (age_ns >= lease_ns * (waits == EngineWaits::kYes ? 2 : 1)) return LeaseVerdict::kEnded;
  return age_ns >= lease_ns / 2 ? LeaseVerdict::kOverdue : LeaseVerdict::kFine;
}

}  // namespace kvpager
