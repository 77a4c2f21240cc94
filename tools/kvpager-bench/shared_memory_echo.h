// tools/kvpager-bench/shared_memory_echo.h
//
// The least that a request through shared memory can take between two processes that sleep while
// they wait: a message copied in, a bell each way, a message copied out.
//
// Ownership: the other process, the memory, the bells; all end with the object. Thread-safety: one
// thread. Errors: Start.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_SHARED_MEMORY_ECHO_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_SHARED_MEMORY_ECHO_H_

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "ipc/unique_fd.h"

namespace kvpager::bench {

class SharedMemoryEcho {
 public:
  static absl::StatusOr<std::unique_ptr<SharedMemoryEcho>> Start();
  ~SharedMemoryEcho();
  SharedMemoryEcho(const SharedMemoryEcho&) = delete;
  SharedMemoryEcho& operator=(const SharedMemoryEcho&) = delete;

  // One message there and back.
  void Ping();

 private:
  struct Mailboxes;

  SharedMemoryEcho() = default;
  [[noreturn]] void Answer();

  pid_t pid_ = -1;
  Mailboxes* mailboxes_ = nullptr;
  UniqueFd bell_there_;
  UniqueFd bell_back_;
};

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_SHARED_MEMORY_ECHO_H_
