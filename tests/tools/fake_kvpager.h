// tests/tools/fake_kvpager.h
//
// libkvpager without a daemon, for tests of the runner: the kvp_* functions of this process, over
// plain memory, with faults that a test asks for. Every block of a sequence has a frame per group;
// blocks that are named are copied into a cache without bounds, and copied out again at open.
//
// Ownership: one pool per process; Reset makes it new. Thread-safety: one thread.

#ifndef KVPAGER_TESTS_TOOLS_FAKE_KVPAGER_H_
#define KVPAGER_TESTS_TOOLS_FAKE_KVPAGER_H_

#include <cstdint>

namespace kvpager::replay {

struct FakeFaults {
  // Counted over all calls of the process since Reset; 0: never.
  uint64_t refuse_begin_every = 0;   // KVP_RESOURCE_EXHAUSTED
  uint64_t lose_at_wait = 0;         // KVP_DATA_LOSS: the sequence is cut to half of its blocks
  uint64_t unavailable_at_wait = 0;  // The daemon dies; attaching again gives an empty one
  bool stays_away = false;           // ... or does not
  uint64_t corrupt_at_open = 0;      // One byte of the first reused page differs
  bool move_pages = false;           // Between steps every page changes its frame ...
  bool corrupt_moved = false;        // ... and one move loses a bit
  bool leak_namespaces = false;      // Blocks are found in every namespace
  bool wrong_view = false;           // The 20th view lists its pages in the wrong order
};

struct FakeCounts {
  uint64_t opens = 0, begins = 0, waits = 0, views = 0, moves = 0, attaches = 0;
  uint64_t sequences_open = 0, steps_open = 0;
};

void ResetFake(const FakeFaults& faults, uint32_t frames_hbm);
const FakeCounts& FakeCounted();

}  // namespace kvpager::replay

#endif  // KVPAGER_TESTS_TOOLS_FAKE_KVPAGER_H_
