#include "ipc/ring_client.h"

#include <poll.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

absl::Status Gone(const absl::Status& why) {
  return absl::UnavailableError(absl::StrCat("kvpagerd broke the ring (",
                                             std::string(why.message()),
                                             "); close this client and open a new one"));
}

// Tells the processor that we only look.
inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

absl::Status RingClient::Take(MessageBytes& bytes, bool& taken) {
  absl::Status pumped = port_.Pump();
  if (!pumped.ok()) return Gone(pumped);
  const absl::StatusOr<bool> got = port_.Receive(bytes);
  if (!got.ok()) return Gone(got.status());
  taken = *got;
  return absl::OkStatus();
}

absl::Status RingClient::Spin(const Deadline& deadline, MessageBytes& bytes, bool& taken) {
  constexpr int kLooksPerClock = 64;
  const uint64_t end_ns = MonotonicNs() + options_.spin_ns;
  while (!taken && MonotonicNs() < end_ns && !deadline.passed()) {
    for (int i = 0; i < kLooksPerClock && !port_.has_input(); ++i) Pause();
    if (port_.has_input()) KVP_RETURN_IF_ERROR(Take(bytes, taken));
  }
  return absl::OkStatus();
}

// Sleeps until the bell rings, the daemon hangs up or the deadline passes.
absl::Status RingClient::Wait(const Deadline& deadline) {
  armed_ = false;
  if (!port_.Sleep()) return absl::OkStatus();
  pollfd watch[2] = {{.fd = port_.bell_fd(), .events = POLLIN, .revents = 0},
                     {.fd = options_.hangup_fd, .events = POLLIN | POLLRDHUP, .revents = 0}};
  const timespec wait = deadline.remaining();
  const int ready = ppoll(watch, 2, &wait, nullptr);  // Skips a descriptor of -1.
  port_.Awake();
  const bool rung = ready > 0 && watch[0].revents != 0;
  if (rung && !port_.Silence() && !port_.has_input()) {
    return absl::UnavailableError("kvpagerd is gone; attach again");
  }
  // What the daemon wrote before it went is there now.
  if (ready > 0 && watch[1].revents != 0 && !port_.has_input()) {
    return absl::UnavailableError("kvpagerd is gone; attach again");
  }
  return absl::OkStatus();
}

absl::Status RingClient::Receive(const Deadline& deadline, MessageBytes& bytes) {
  bool taken = false;
  while (true) {
    KVP_RETURN_IF_ERROR(Take(bytes, taken));
    if (!taken && deadline.passed()) {
      return absl::DeadlineExceededError("kvpagerd did not answer in time");
    }
    if (!taken && options_.spin_ns > 0) KVP_RETURN_IF_ERROR(Spin(deadline, bytes, taken));
    if (taken) return absl::OkStatus();
    KVP_RETURN_IF_ERROR(Wait(deadline));
  }
}

bool RingClient::Arm() {
  if (armed_ && !port_.has_backlog()) return true;
  armed_ = port_.Sleep();
  return armed_;
}

void RingClient::Hush() {
  armed_ = false;
  port_.Silence();  // An other end that has gone is told by Receive.
}

absl::Status RingClient::Send(absl::Span<const uint8_t> bytes) {
  const absl::Status sent = port_.Send(bytes);
  if (sent.ok()) return sent;
  if (!absl::IsResourceExhausted(sent)) return Gone(sent);
  return absl::DeadlineExceededError("kvpagerd did not read in time");
}

}  // namespace kvpager
