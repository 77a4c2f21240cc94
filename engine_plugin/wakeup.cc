#include "engine_plugin/wakeup.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"

namespace kvpager::engine {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;

bool Watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

absl::Status NoDescriptors() {
  return absl::ResourceExhaustedError(absl::StrCat(
      "cannot make a descriptor for an event loop: ", std::strerror(errno), "; raise ulimit -n"));
}

}  // namespace

Wakeup::Wakeup(UniqueFd epoll, UniqueFd event, UniqueFd timer)
    : epoll_(std::move(epoll)), event_(std::move(event)), timer_(std::move(timer)) {}

absl::StatusOr<std::unique_ptr<Wakeup>> Wakeup::Create(absl::Span<const int> others) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  UniqueFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (epoll.is_none() || event.is_none() || timer.is_none()) return NoDescriptors();
  if (!Watch(epoll.get(), event.get()) || !Watch(epoll.get(), timer.get())) return NoDescriptors();
  for (const int fd : others) {
    if (!Watch(epoll.get(), fd)) return NoDescriptors();
  }
  return std::unique_ptr<Wakeup>(new Wakeup(std::move(epoll), std::move(event), std::move(timer)));
}

void Wakeup::Set() {
  if (is_set_) return;
  const uint64_t one = 1;
  KVP_CHECK(write(event_.get(), &one, sizeof(one)) == sizeof(one));
  is_set_ = true;
}

void Wakeup::Clear() {
  if (!is_set_) return;
  uint64_t count = 0;
  KVP_CHECK(read(event_.get(), &count, sizeof(count)) == sizeof(count));
  is_set_ = false;
}

void Wakeup::WakeBy(uint64_t at_ns) {
  if (at_ns < timer_ns_) SetTimer(at_ns);
}

void Wakeup::WakeNextBy(uint64_t at_ns, uint64_t now_ns) {
  if (timer_ns_ <= now_ns || at_ns < timer_ns_) SetTimer(at_ns);
}

void Wakeup::SetTimer(uint64_t at_ns) {
  itimerspec when{};  // All zero: never.
  if (at_ns != kNever) {
    when.it_value.tv_sec = static_cast<time_t>(at_ns / kNsPerSecond);
    when.it_value.tv_nsec = static_cast<long>(at_ns % kNsPerSecond);
  }
  KVP_CHECK_EQ(timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr), 0);
  timer_ns_ = at_ns;
}

}  // namespace kvpager::engine
