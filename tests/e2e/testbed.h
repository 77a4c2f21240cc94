// tests/e2e/testbed.h
//
// The real programs, put together for a test: a daemon in a directory of its own, replays against
// it, traces made to measure.
//
// Ownership: a Daemon that is destroyed kills its process. Thread-safety: one thread. Errors: a
// helper that cannot go on fails the test and says what the program said.

#ifndef KVPAGER_TESTS_E2E_TESTBED_H_
#define KVPAGER_TESTS_E2E_TESTBED_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/e2e/process.h"

namespace kvpager::e2e {

inline constexpr uint32_t kReplayTimeoutSeconds = 240;

// "short" runs under sanitizers do a tenth.
uint32_t Rounds(uint32_t rounds);

struct DaemonOptions {
  uint32_t blocks_hbm = 48;
  uint32_t blocks_host = 128;
  uint32_t blocks_nvme = 2048;
  std::vector<std::string> flags;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string program_path;  // Empty: as built.
  std::string config_path;   // Empty: none.
  std::string nvme_path;     // Empty: nvme/ in the directory.
  std::string socket_path;   // Empty: kvpager.sock in the directory.
  std::optional<uid_t> uid;
  std::optional<uint64_t> file_size_bytes_max;
  std::optional<uint64_t> memlock_bytes_max;
  bool forbid_uring = false;
};

class Daemon {
 public:
  // Starts kvpagerd with its socket, log and data in `directory`; does not wait.
  Daemon(const TemporaryDirectory& directory, const DaemonOptions& options);

  // True once it answers; false if it ended instead.
  bool WaitUntilReady();

  int Stop();   // SIGTERM; the exit status.
  void Kill();  // SIGKILL, and waits for the end.

  Process& process() { return *process_; }
  const std::string& socket_path() const { return socket_path_; }
  std::string Log() const { return process_->Output(); }

 private:
  std::string socket_path_;
  std::unique_ptr<Process> process_;
};

// What kvpagerctl status --json says of tiers and namespaces.
struct DaemonStatus {
  struct Use {
    std::string name_space;
    std::string tier;
    uint64_t frames = 0;
    uint64_t guaranteed_frames = 0;
    uint64_t max_frames = 0;
  };
  bool present = false;
  uint64_t engines = 0;
  std::vector<Use> uses;
  std::vector<std::pair<std::string, uint64_t>> used_frames;  // By tier, over all namespaces.

  // Zeros if there is no such namespace or tier.
  Use UseOf(const std::string& name_space, const std::string& tier) const;
};
DaemonStatus AskStatus(const TemporaryDirectory& directory, const std::string& socket_path);

// What kvpager-replay --json says.
struct Report {
  bool present = false;
  uint64_t requests = 0;
  uint64_t lookup_blocks = 0;
  uint64_t hit_hbm = 0;
  uint64_t hit_host = 0;
  uint64_t hit_nvme = 0;
  uint64_t pages_verified = 0;
  uint64_t pages_mismatched = 0;
  uint64_t steps = 0;
  uint64_t nvme_written_bytes = 0;
  uint64_t injected = 0;  // Flips that reached host frames or the NVMe file.

  uint64_t hits() const { return hit_hbm + hit_host + hit_nvme; }
};

struct ReplayResult {
  int exit_status = -1;
  std::string output;
  Report report;
};

struct ReplayOptions {
  std::string socket_path;
  std::string trace_path;
  std::string name;  // Of its output and report files; one per replay in a directory.
  std::vector<std::string> flags;
  std::string program_path;  // Empty: as built.
  std::optional<uid_t> uid;
};

std::unique_ptr<Process> StartReplay(const TemporaryDirectory& directory,
                                     const ReplayOptions& options);
ReplayResult FinishReplay(const TemporaryDirectory& directory, const ReplayOptions& options,
                          Process& process);
ReplayResult RunReplay(const TemporaryDirectory& directory, const ReplayOptions& options);

// What `kvpagerctl COMMAND --json` said: every value under its path, as "/tiers/0/free_frames".
class Facts {
 public:
  explicit Facts(std::map<std::string, std::string> values) : values_(std::move(values)) {}
  bool empty() const { return values_.empty(); }
  bool has(const std::string& path) const { return values_.count(path) > 0; }
  std::string Text(const std::string& path) const;  // Empty if there is none.
  uint64_t Number(const std::string& path) const;   // Fails the test if there is none.
  uint64_t Counter(const std::string& name) const { return Number("/counters/" + name); }

 private:
  std::map<std::string, std::string> values_;
};

// Runs kvpagerctl. `exit_status`, if given, is what it ended with; else it must be 0.
Facts RunCtl(const Daemon& daemon, const TemporaryDirectory& directory,
             const std::vector<std::string>& arguments, int* exit_status = nullptr);

// A trace of `sessions` conversations of `turns` requests each, which take turns, two requests at a
// time; every request repeats the blocks of the one before and adds `turn_blocks`. Writes it and
// returns the path.
struct TraceShape {
  uint32_t sessions = 12;
  uint32_t turns = 5;
  uint32_t turn_blocks = 6;
  uint64_t block_first = 1;     // Of the ids: two traces with different ones share nothing.
  uint32_t output_tokens = 64;  // Per request, in the trace's blocks of 512.

  uint64_t requests() const { return uint64_t{sessions} * turns; }
  uint64_t distinct_blocks() const { return requests() * turn_blocks; }
  // Of a cache that forgets nothing.
  uint64_t reused_blocks() const {
    return uint64_t{sessions} * turn_blocks * (uint64_t{turns} * (turns - 1) / 2);
  }
  uint64_t lookup_blocks() const { return reused_blocks() + distinct_blocks(); }
};
std::string WriteTrace(const TemporaryDirectory& directory, const std::string& name,
                       const TraceShape& shape);

}  // namespace kvpager::e2e

#endif  // KVPAGER_TESTS_E2E_TESTBED_H_
