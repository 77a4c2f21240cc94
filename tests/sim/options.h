// tests/sim/options.h
//
// Everything about one world that is drawn from its seed before it starts: sizes, the mix of what
// engines do, latencies, and which faults there are. As in swarm testing many rates are zero in any
// one world, so that rare combinations are met.

#ifndef KVPAGER_TESTS_SIM_OPTIONS_H_
#define KVPAGER_TESTS_SIM_OPTIONS_H_

#include <array>
#include <cstdint>

#include "memmgr/core/effect.h"
#include "tests/testing/random.h"
#include "tests/testing/setup.h"

namespace kvpager::sim {

enum class Action : uint8_t {
  kOpen,
  kExtend,
  kBegin,
  kEnd,
  kCancel,
  kFork,
  kTruncate,
  kAccept,
  kName,
  kSuspend,
  kResume,
  kPrefetch,
  kEvict,
  kClose,
  kNonsense,
};
inline constexpr size_t kActionCount = 15;

// Chances in thousandths.
struct Faults {
  uint32_t copy_failed = 0;
  uint32_t nvme_corrupt = 0;     // A read finds a flipped bit, for good.
  uint32_t nvme_lost_write = 0;  // A write reports success and changes nothing.
  uint32_t host_corrupt = 0;     // Per turn: a bit of some host frame flips.
  uint32_t channel_slow = 0;     // Per turn: a channel becomes slow, or normal again.
  uint32_t engine_dies = 0;      // Per turn.
  uint32_t engine_hangs = 0;     // Per ready step.
  uint32_t engine_revoked = 0;   // Per turn: it cannot be killed, and lives on.
  uint32_t restart = 0;          // Per turn.
  uint32_t nvme_lost = 0;        // Per turn: the tier is taken out of service.
  uint32_t catalogue_full = 0;   // A hint is dropped.
  uint32_t catalogue_failed = 0;
};

struct ChannelSpeed {
  uint64_t latency_ns = 0;
  uint64_t busy_ns = 0;  // Per page.
};

struct SimOptions {
  uint64_t seed = 0;
  uint64_t turns = 0;
  testing::CoreSetup setup;
  uint32_t engines = 1;
  uint32_t namespaces = 1;
  uint32_t lanes = 1;
  uint32_t sequences_per_engine = 4;
  uint32_t tokens_per_sequence_max = 0;
  uint32_t conversations = 2;  // Per namespace.
  uint32_t think_ns_max = 1000;
  uint32_t message_ns_max = 0;
  uint32_t partial_range_permille = 0;
  uint32_t message_free_permille = 0;  // Of engines.
  uint32_t split_permille = 0;
  uint32_t draft_permille = 0;
  uint32_t durable_permille = 0;
  uint32_t posted_permille = 0;  // Commands that want no answer.
  bool clean_restarts = true;
  bool power_cuts = false;  // An unclean restart loses what was not flushed.
  std::array<uint32_t, kActionCount> weights{};
  std::array<ChannelSpeed, kChannelCount> speeds{};
  Faults faults;
};

SimOptions DrawOptions(uint64_t seed);

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_OPTIONS_H_
