// ipc/lanes.h
//
// The lanes of one engine, in memory that it shares with the daemon: which steps it has begun and
// which have ended, and which sequences they used. Engines that keep them run steps on resident
// pages without a message (docs/SHARED_PAGE_TABLE.md).
//
//   offset           content
//   256 * lane       begun: number of the newest step; the engine stores it before it reads a word
//   64               revoked: not 0 once the daemon has taken back what the engine reads
//   256 * lane + 128 done: every step up to this number has ended
//   192              left: not 0 once no step of the engine runs any more, for good
//   2048             touched: one bit per sequence (slot modulo kTouchedBits), set by the engine
//                    when a step uses the sequence, taken by the daemon
//   4096             credits: a word per sequence slot below kSharedCredits (credit_word.h)
//
// All loads and stores are sequentially consistent. The counters only grow; an engine that breaks
// that harms nobody but engines of its own namespace.
//
// The daemon stores `revoked` before it reuses a frame. So an engine that finds 0 behind its last
// read of a step has read what it was to read, and one that finds 1 discards what it made of it.
// The daemon never reads it: an engine that overwrites it harms itself.
//
// Ownership: the daemon makes the region, both sides map it. Thread-safety: one engine thread, one
// daemon thread.

#ifndef KVPAGER_IPC_LANES_H_
#define KVPAGER_IPC_LANES_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace kvpager {

inline constexpr uint32_t kSharedLanes = 8;
inline constexpr uint32_t kTouchedWords = 256;
inline constexpr uint32_t kTouchedBits = kTouchedWords * 64;
inline constexpr uint32_t kSharedCredits = 4096;
inline constexpr size_t kLanesRegionBytes = 4096 + kSharedCredits * sizeof(uint64_t);

struct SharedLane {
  alignas(128) std::atomic<uint64_t> begun{0};
  alignas(64) std::atomic<uint64_t> from_daemon{0};  // Of lane 0 only: revoked.
  alignas(128) std::atomic<uint64_t> done{0};
  alignas(64) std::atomic<uint64_t> to_daemon{0};  // Of lane 0 only: left.
};

struct SharedLanes {
  std::array<SharedLane, kSharedLanes> lanes;
  std::array<std::atomic<uint64_t>, kTouchedWords> touched;
  std::array<std::atomic<uint64_t>, kSharedCredits> credits;

  std::atomic<uint64_t>& revoked() { return lanes[0].from_daemon; }
  const std::atomic<uint64_t>& revoked() const { return lanes[0].from_daemon; }
  std::atomic<uint64_t>& left() { return lanes[0].to_daemon; }
  const std::atomic<uint64_t>& left() const { return lanes[0].to_daemon; }

  static uint32_t TouchedWordOf(uint64_t sequence) {
    return static_cast<uint32_t>(sequence) % kTouchedBits / 64;
  }
  static uint64_t TouchedBitOf(uint64_t sequence) { return uint64_t{1} << (sequence % 64); }

  // The word of the sequence's credit; null: it never gets one.
  std::atomic<uint64_t>* credit_of(uint64_t sequence) {
    const auto slot = static_cast<uint32_t>(sequence);
    return slot < kSharedCredits ? &credits[slot] : nullptr;
  }

  // Bits that are set already cost a load.
  void Touch(uint32_t word, uint64_t bits) {
    if ((touched[word].load() & bits) != bits) touched[word].fetch_or(bits);
  }
};
static_assert(sizeof(SharedLane) == 256);
static_assert(offsetof(SharedLane, from_daemon) == 64);
static_assert(offsetof(SharedLane, to_daemon) == 192);
static_assert(offsetof(SharedLanes, touched) == 2048);
static_assert(offsetof(SharedLanes, credits) == 4096);
static_assert(sizeof(SharedLanes) == kLanesRegionBytes);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace kvpager

#endif  // KVPAGER_IPC_LANES_H_
