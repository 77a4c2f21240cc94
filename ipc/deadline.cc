#include "ipc/deadline.h"

#include <algorithm>

namespace kvpager {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kNever = ~uint64_t{0};

}  // namespace

uint64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<uint64_t>(now.tv_nsec);
}

Deadline Deadline::AfterUs(uint64_t us) {
  const uint64_t now = MonotonicNs();
  Deadline deadline;
  deadline.at_ns_ = us > (kNever - now) / 1000 ? kNever : now + us * 1000;
  return deadline;
}

uint64_t Deadline::remaining_ns() const {
  const uint64_t now = MonotonicNs();
  return now >= at_ns_ ? 0 : at_ns_ - now;
}

timespec Deadline::remaining() const {
  const uint64_t ns = std::min(remaining_ns(), 3600 * kNsPerSecond);
  return {static_cast<time_t>(ns / kNsPerSecond), static_cast<long>(ns % kNsPerSecond)};
}

}  // namespace kvpager
