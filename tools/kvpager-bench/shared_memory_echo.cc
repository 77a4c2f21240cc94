#include "tools/kvpager-bench/shared_memory_echo.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "memmgr/base/check.h"
#include "tools/kvpager-bench/bare_echo.h"

namespace kvpager::bench {
namespace {

using Message = std::array<uint8_t, kEchoBytes>;

void Ring(const UniqueFd& bell) {
  const uint64_t one = 1;
  KVP_CHECK(write(bell.get(), &one, sizeof one) == sizeof one);
}

void Hear(const UniqueFd& bell) {
  uint64_t rings = 0;
  KVP_CHECK(read(bell.get(), &rings, sizeof rings) == sizeof rings);
}

}  // namespace

struct SharedMemoryEcho::Mailboxes {
  alignas(128) std::atomic<uint64_t> count_there;
  Message there;
  alignas(128) std::atomic<uint64_t> count_back;
  Message back;
};

absl::StatusOr<std::unique_ptr<SharedMemoryEcho>> SharedMemoryEcho::Start() {
  std::unique_ptr<SharedMemoryEcho> echo(new SharedMemoryEcho());
  void* const memory =
      mmap(nullptr, sizeof(Mailboxes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  echo->bell_there_.reset(eventfd(0, EFD_CLOEXEC));
  echo->bell_back_.reset(eventfd(0, EFD_CLOEXEC));
  if (memory == MAP_FAILED || echo->bell_there_.is_none() || echo->bell_back_.is_none()) {
    return absl::ResourceExhaustedError("no shared memory or no descriptors for a bare echo");
  }
  echo->mailboxes_ = static_cast<Mailboxes*>(memory);
  echo->pid_ = fork();
  if (echo->pid_ < 0) return absl::ResourceExhaustedError("no process for a bare echo");
  if (echo->pid_ == 0) echo->Answer();
  return echo;
}

// The other process; it ends with its parent.
void SharedMemoryEcho::Answer() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (uint64_t count = 1;; ++count) {
    Hear(bell_there_);
    KVP_CHECK(mailboxes_->count_there.load() == count);
    const Message message = mailboxes_->there;
    mailboxes_->back = message;
    mailboxes_->count_back.store(count);
    Ring(bell_back_);
  }
}

SharedMemoryEcho::~SharedMemoryEcho() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (mailboxes_ != nullptr) munmap(mailboxes_, sizeof(Mailboxes));
}

void SharedMemoryEcho::Ping() {
  const uint64_t count = mailboxes_->count_there.load() + 1;
  mailboxes_->there = Message{static_cast<uint8_t>(count)};
  mailboxes_->count_there.store(count);
  Ring(bell_there_);
  Hear(bell_back_);
  const Message answer = mailboxes_->back;
  KVP_CHECK(mailboxes_->count_back.load() == count && answer[0] == static_cast<uint8_t>(count));
}

}  // namespace kvpager::bench
