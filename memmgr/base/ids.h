// memmgr/base/ids.h
//
// Strong types for everything that is numbered, so that a page is never used as a frame and a block
// is never used as a page.
//
//   block   page_tokens consecutive tokens of a sequence
//   page    one block in one group of layers:   page = group * blocks_max + block
//   frame   a page-sized place in one tier
//   run     num_groups NVMe frames side by side, one block's place:  frame = run * num_groups +
//   group
//
// A default-constructed id is none (all ones). Thread-safety: plain values. Errors: none.

#ifndef KVPAGER_MEMMGR_BASE_IDS_H_
#define KVPAGER_MEMMGR_BASE_IDS_H_

#include <compare>
#include <cstddef>
#include <cstdint>

namespace kvpager {

template <typename Tag, typename Rep = uint32_t>
struct Id {
  static constexpr Rep kNone = static_cast<Rep>(~Rep{0});
  Rep value = kNone;

  constexpr bool is_none() const { return value == kNone; }
  friend constexpr auto operator<=>(Id, Id) = default;
};

using BlockIndex = Id<struct BlockTag>;       // Row of the block table.
using PageIndex = Id<struct PageTag>;         // Row of the page table; see the picture above.
using FrameIndex = Id<struct FrameTag>;       // A place in one tier.
using ClientId = Id<struct ClientTag>;        // Slot of an attached engine; chosen by the daemon.
using NamespaceId = Id<struct NamespaceTag>;  // A tenant's key space.
using SequenceId =
    Id<struct SequenceTag, uint64_t>;  // Slot in the low half, generation above; never 0.

// An operation in flight. The generation makes a late or repeated completion detectable.
struct OpId {
  uint32_t slot = ~uint32_t{0};
  uint32_t generation = 0;

  constexpr bool is_none() const { return slot == ~uint32_t{0}; }
  friend constexpr bool operator==(OpId, OpId) = default;
};

// (lane, step number): names a step, and the moment when its end has passed. Numbers of one lane
// start at 1 and only grow; number 0 has always passed.
struct Ticket {
  uint32_t lane = 0;
  uint64_t number = 0;

  friend constexpr bool operator==(Ticket, Ticket) = default;
};

// The name of a sealed block: SHA-256 over (namespace secret, geometry and model fingerprint, the
// engine's digest), truncated to 128 bits. The core only compares it. All zero means "no name".
struct BlockKey {
  uint64_t words[2] = {0, 0};

  constexpr bool is_none() const { return words[0] == 0 && words[1] == 0; }
  friend constexpr bool operator==(const BlockKey&, const BlockKey&) = default;
};

// Distinguishes every NVMe run ever written: (random incarnation of the daemon, counter).
struct Stamp {
  uint64_t incarnation = 0;
  uint64_t counter = 0;

  constexpr bool is_none() const { return incarnation == 0 && counter == 0; }
  friend constexpr auto operator<=>(const Stamp&, const Stamp&) = default;
};

enum class Tier : uint8_t { kHbm = 0, kHost = 1, kNvme = 2 };
inline constexpr int kTierCount = 3;
inline constexpr size_t TierIndex(Tier tier) { return static_cast<size_t>(tier); }

// Nanoseconds since an arbitrary origin. The core never reads a clock; time is one of its inputs.
struct Instant {
  uint64_t ns = 0;
  friend constexpr auto operator<=>(Instant, Instant) = default;
};

// `count` consecutive blocks that share a generation. How a block list travels to an engine.
struct BlockRun {
  uint32_t block_first = 0;
  uint32_t count = 0;
  uint32_t generation = 0;  // [0, 1024): as in the page table word.
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_BASE_IDS_H_
