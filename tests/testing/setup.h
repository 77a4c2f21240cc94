// tests/testing/setup.h
//
// What a core of a transcript or of the simulator is created with: the daemon's options, and a few
// limits overridden so that small worlds meet their bounds. One line of text, "create ...".

#ifndef KVPAGER_TESTS_TESTING_SETUP_H_
#define KVPAGER_TESTS_TESTING_SETUP_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "memmgr/core/limits.h"

namespace kvpager::testing {

struct CoreSetup {
  PoolOptions options;
  // 0: as derived.
  uint32_t blocks_max = 0;
  uint32_t in_flight_max = 0;
  uint32_t pages_per_input = 0;
  uint32_t deferred_max = 0;
  uint32_t prefetches_max = 0;
  uint32_t evictions_max = 0;
  uint32_t durable_names_max = 0;
  uint32_t split_steps_max = 0;
  uint32_t step_entries_max = 0;
  uint32_t sequence_chunks_max = 0;
};

absl::StatusOr<Limits> DeriveLimits(const CoreSetup& setup);

// "tokens=4 groups=1 hbm=2 ...": only what differs from a default-constructed setup.
std::string Describe(const CoreSetup& setup);

// Sets the field that `word`, "name=value", names. False if there is no such field.
bool SetField(std::string_view word, CoreSetup& setup);

}  // namespace kvpager::testing

#endif  // KVPAGER_TESTS_TESTING_SETUP_H_
