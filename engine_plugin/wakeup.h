// engine_plugin/wakeup.h
//
// The descriptor that an event loop polls: readable when one of several others is, when Set was
// called, or when a moment has come. An epoll over those others, an eventfd and a timer.
//
//   others (doorbell or ZMQ_FD, attach socket) ---+
//   eventfd: Set, Clear --------------------------+--> fd()
//   timerfd: WakeBy ------------------------------+
//
// No call makes a system call that would change nothing, so they may be made often.
//
// Ownership: epoll, eventfd and timer; borrows the others. Thread-safety: one thread at a time.
// Errors: kResourceExhausted no descriptors left.

#ifndef KVPAGER_ENGINE_PLUGIN_WAKEUP_H_
#define KVPAGER_ENGINE_PLUGIN_WAKEUP_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/unique_fd.h"

namespace kvpager::engine {

class Wakeup {
 public:
  static constexpr uint64_t kNever = ~uint64_t{0};

  static absl::StatusOr<std::unique_ptr<Wakeup>> Create(absl::Span<const int> others);

  int fd() const { return epoll_.get(); }

  // fd() is readable until Clear.
  void Set();
  void Clear();

  // fd() is readable from `at_ns` on. It may be earlier, once, for the sake of an earlier call.
  void WakeBy(uint64_t at_ns);
  // To be called when what was to be done by `now_ns` is done, and `at_ns` is next.
  void WakeNextBy(uint64_t at_ns, uint64_t now_ns);

 private:
  Wakeup(UniqueFd epoll, UniqueFd event, UniqueFd timer);
  void SetTimer(uint64_t at_ns);

  UniqueFd epoll_;
  UniqueFd event_;
  UniqueFd timer_;
  bool is_set_ = false;
  uint64_t timer_ns_ = kNever;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_WAKEUP_H_
