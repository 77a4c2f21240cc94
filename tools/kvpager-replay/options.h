// tools/kvpager-replay/options.h
//
// What kvpager-replay was told. flags.h parses it.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_OPTIONS_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_OPTIONS_H_

#include <cstdint>
#include <string>

#include "memmgr/base/geometry.h"

namespace kvpager::replay {

struct Options {
  // What is replayed.
  std::string trace;          // Empty: generated.
  uint64_t requests_max = 0;  // 0: all of a trace, 4,000 if generated.
  uint64_t seed = 1;
  bool skip_bad_lines = false;

  // With whom.
  std::string socket;  // Empty: where libkvpager looks.
  std::string pool = "replay";
  std::string name_space = "default";
  std::string token;
  uint32_t engines = 1;
  bool shared_namespace = false;
  bool pinned_steps = false;  // Every step asks the daemon.
  uint32_t transport = 0;     // KVP_TRANSPORT_*.
  Geometry geometry;

  // How.
  uint32_t in_flight = 8;
  uint32_t prefill_blocks = 32;
  uint32_t query_heads = 4;
  uint32_t check_every = 100;  // Decode steps between two that are compared with the reference.
  uint32_t reconnect_seconds = 10;
  uint32_t stall_seconds = 120;
  uint64_t ideal_places = 0;    // 0: as many blocks as the pool's tiers hold.
  double ratio_gap_max = -1.0;  // Negative: not checked.

  // Faults.
  uint64_t inject_corrupt = 0;
  std::string inject_file;  // Empty: found through the daemon.

  // What is said.
  std::string json;  // Empty: none.
  bool quiet = false;
};

// Of engine i. In one namespace, or each in its own.
inline std::string NamespaceOf(const Options& options, uint32_t engine) {
  if (options.shared_namespace || engine == 0) return options.name_space;
  return options.name_space + "-" + std::to_string(engine + 1);
}

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_OPTIONS_H_
