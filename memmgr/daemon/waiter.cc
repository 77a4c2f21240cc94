#include "memmgr/daemon/waiter.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr int kEventsPerWait = 64;
constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kNsPerMs = 1'000'000;

uint64_t Pack(WakeEvent event) {
  return uint64_t{static_cast<uint32_t>(event.kind)} << 32 | event.index;
}

WakeEvent Unpack(uint64_t bits) {
  return {static_cast<WakeKind>(bits >> 32), static_cast<uint32_t>(bits)};
}

// Nanoseconds where the kernel has them (5.11), else whole milliseconds, rounded up.
int WaitFor(int epoll_fd, epoll_event* events, uint64_t timeout_ns) {
  timeout_ns = std::min(timeout_ns, 3600 * kNsPerSecond);
  static bool has_nanoseconds = true;
  if (has_nanoseconds) {
    timespec timeout{};
    timeout.tv_sec = static_cast<time_t>(timeout_ns / kNsPerSecond);
    timeout.tv_nsec = static_cast<long>(timeout_ns % kNsPerSecond);
    const int count = epoll_pwait2(epoll_fd, events, kEventsPerWait, &timeout, nullptr);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
    has_nanoseconds = false;
  }
  return epoll_wait(epoll_fd, events, kEventsPerWait,
                    static_cast<int>((timeout_ns + kNsPerMs - 1) / kNsPerMs));
}

}  // namespace

absl::StatusOr<Waiter> Waiter::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (epoll.is_none()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("epoll_create1: ", std::strerror(errno), "; raise ulimit -n"));
  }
  Waiter waiter(std::move(epoll));
  waiter.events_.reserve(kEventsPerWait);
  return waiter;
}

void Waiter::Add(int fd, WakeEvent event) {
  if (fd < 0) return;
  epoll_event entry{};
  entry.events = EPOLLIN | EPOLLRDHUP;
  entry.data.u64 = Pack(event);
  KVP_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &entry) == 0);
}

void Waiter::Remove(int fd) {
  if (fd < 0) return;
  KVP_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0);
}

absl::Span<const WakeEvent> Waiter::Wait(uint64_t timeout_ns) {
  epoll_event ready[kEventsPerWait];
  events_.clear();
  const int count = WaitFor(epoll_.get(), ready, timeout_ns);
  if (count < 0) KVP_CHECK(errno == EINTR);
  for (int i = 0; i < count; ++i) events_.push_back(Unpack(ready[i].data.u64));
  return events_;
}

}  // namespace kvpager
