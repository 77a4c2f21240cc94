// tests/crash/round.h
//
// One round of kvpager-crash, in a folder of its own. All of it follows from the seed, except the
// instants, which are those of the machine.
//
//   kill    load, SIGKILL at a random instant, a new daemon reads everything back; three times
//   cut     load under a record, SIGKILL; two disks that a power cut at a random moment could have
//           left, a new daemon on each
//   damage  load, SIGKILL or a clean stop; damage to the files, a new daemon
//
// A round fails if a byte is wrong, if a durable block is lost (in a round of damage: lost without
// being counted), or if a daemon does not start or serve.

#ifndef KVPAGER_TESTS_CRASH_ROUND_H_
#define KVPAGER_TESTS_CRASH_ROUND_H_

#include <cstdint>
#include <string>

namespace kvpager::crash {

enum class RoundKind : uint8_t { kKill, kCut, kDamage };

struct RoundResult {
  uint64_t prompts = 0;
  uint64_t blocks_read = 0;
  uint64_t blocks_wrong = 0;
  uint64_t blocks_missing = 0;   // Not promised.
  uint64_t durable_prompts = 0;  // Asked for again.
  uint64_t durable_missing = 0;
  uint64_t durable_counted = 0;  // Losses that the daemon counted, in blocks.
  std::string failure;           // Empty: good.
};

// `parent`: where its folder is made; empty: below the build.
RoundResult RunRound(RoundKind kind, uint64_t seed, const std::string& parent);

}  // namespace kvpager::crash

#endif  // KVPAGER_TESTS_CRASH_ROUND_H_
