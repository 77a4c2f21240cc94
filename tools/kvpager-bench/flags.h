// tools/kvpager-bench/flags.h
//
// The command line of kvpager-bench. CLI11 is included in flags.cc alone.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_FLAGS_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>

namespace kvpager::bench {

inline constexpr int kExitPassed = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

struct Options {
  std::string socket;    // Of a running daemon; empty: a private one is started.
  std::string kvpagerd;  // The program; empty: beside this one.
  std::string json;      // Where the numbers go too; empty: nowhere.
  std::string only;      // Parts whose name contains this; empty: all.
  bool decode = false;   // Attention kernels, rather than the control path.
  bool nvme = false;     // The NVMe executor, rather than the control path.
  std::string nvme_folder = ".";
  uint64_t nvme_bytes = 0;       // Of the file to measure with.
  uint64_t pairs = 0;            // Of slices, ours and the limit's.
  bool recovery = false;         // Restarts of a large tier, rather than the control path.
  uint64_t recovery_blocks = 0;  // That it has.
  bool encrypted = false;        // nvme: our side encrypts.
  bool quick = false;            // Few samples: it runs, the figures mean little.
  std::string echo;              // Be the other end of a bare ping-pong at this endpoint.
};

// Nullopt: nothing is to be done, and `exit_code` says how to end.
std::optional<Options> ParseFlags(int argc, char** argv, int& exit_code);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_FLAGS_H_
