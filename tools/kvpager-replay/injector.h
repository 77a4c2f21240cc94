// tools/kvpager-replay/injector.h
//
// Flips bits behind the daemon's back: in its host frames and in its NVMe file, by turns. What a
// replay must make of it is misses (DATA_LOSS, computed again) or a failed run, never a wrong page
// that is served.
//
// Host frames are sealed against writers; so the bit is flipped through the daemon's own mapping,
// which needs the right to trace it (same user and kernel.yama.ptrace_scope 0, or root).
//
// Thread-safety: one thread. Errors: kPermissionDenied, kNotFound: what cannot be written, and why.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_INJECTOR_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_INJECTOR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "tools/kvpager-replay/random.h"

namespace kvpager::replay {

struct InjectorOptions {
  uint64_t flips = 0;
  uint64_t seed = 1;
  uint32_t daemon_pid = 0;  // 0: host frames are left alone.
  std::string nvme_file;    // Empty: NVMe frames are left alone.
};

class Injector {
 public:
  explicit Injector(const InjectorOptions& options);
  ~Injector();
  Injector(const Injector&) = delete;
  Injector& operator=(const Injector&) = delete;

  // Flips what is due when `share` of the replay is done: all of them between 0.15 and 0.95.
  void Advance(double share);

  uint64_t flipped_host() const { return flipped_host_; }
  uint64_t flipped_nvme() const { return flipped_nvme_; }
  // Why a tier was left alone, or OK.
  const absl::Status& host_status() const { return host_status_; }
  const absl::Status& nvme_status() const { return nvme_status_; }

 private:
  absl::Status FindHostArena();
  bool FlipHost();
  bool FlipNvme();

  const InjectorOptions options_;
  Random random_;
  uint64_t done_ = 0;
  uint64_t flipped_host_ = 0;
  uint64_t flipped_nvme_ = 0;
  absl::Status host_status_;
  absl::Status nvme_status_;
  uint64_t arena_address_ = 0;
  uint64_t arena_bytes_ = 0;
  int nvme_fd_ = -1;
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_INJECTOR_H_
