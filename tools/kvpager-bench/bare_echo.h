// tools/kvpager-bench/bare_echo.h
//
// The least that a request over ZeroMQ can take: another process that sends every message straight
// back, over the same kind of sockets as the daemon's, with nothing in between.
//
// Ownership: the other process and the sockets; all end with the object. Thread-safety: one thread.
// Errors: Start.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_BARE_ECHO_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_BARE_ECHO_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvpager::bench {

inline constexpr uint32_t kEchoBytes = 192;  // About a fault of one page, and its answer.

class BareEcho {
 public:
  // `peers`: how many sockets talk to it.
  static absl::StatusOr<std::unique_ptr<BareEcho>> Start(uint32_t peers);
  ~BareEcho();
  BareEcho(const BareEcho&) = delete;
  BareEcho& operator=(const BareEcho&) = delete;

  // One message there and back.
  void Ping();
  // `messages` from every peer, and wait for all of them.
  void Flood(uint32_t messages);

 private:
  BareEcho() = default;
  absl::Status Connect(uint32_t peers);

  std::string path_;
  pid_t pid_ = -1;
  void* context_ = nullptr;
  std::vector<void*> sockets_;
};

// The other process: echoes until its parent ends. Returns its exit code.
int RunEcho(const std::string& endpoint);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_BARE_ECHO_H_
