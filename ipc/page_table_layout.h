// ipc/page_table_layout.h
//
// The page table that the daemon writes and engines read, byte for byte.
//
//   offset              content
//        0              PageTableHeader, in a page of its own
//   words_offset        blocks_max * num_groups words; page = group * blocks_max + block
//   withdrawals_offset  one 64-bit counter per kPagesPerWithdrawal words
//
// A word says where one page is. All loads and stores of words and counters are seq_cst: an acquire
// load alone would be wrong for the message-free path (STEPS), whose argument is an order over
// words and lane counters together.
//
//   bit 63      54 53          52      27 26         25       0
//      generation  host valid  host frame hbm valid  hbm frame
//
// A counter is raised right after a word of its 64 pages was withdrawn, that is, has stopped to say
// what it said, and before the daemon samples who may still read its frame. A reader that loads the
// counters inside a step and finds what they were before it read the words may reuse that view: if
// a word has gone meanwhile, the step began before the sample, and the frame waits for it. Raised
// before the withdrawal instead, a view built between the two would be trusted for ever
// (docs/decisions/0005).
//
// Do not renumber or reorder; a change raises kPageTableLayoutVersion.
// Units: names carry them. Ownership: the daemon owns the region. Thread-safety: one writer, any
// number of readers in other processes.

#ifndef KVPAGER_IPC_PAGE_TABLE_LAYOUT_H_
#define KVPAGER_IPC_PAGE_TABLE_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memmgr/base/check.h"
#include "memmgr/base/ids.h"
#include "memmgr/base/units.h"

namespace kvpager {

static_assert(std::atomic<uint64_t>::is_always_lock_free, "shared between processes");
static_assert(sizeof(std::atomic<uint64_t>) == 8);

inline constexpr uint64_t kPageTableMagic = 0x454c42415450564b;  // "KVPTABLE" in memory.
inline constexpr uint32_t kPageTableLayoutVersion = 1;
inline constexpr uint64_t kPageTableHeaderBytes = 4096;
inline constexpr uint64_t kPagesPerWithdrawal = 64;

inline constexpr uint32_t kFrameBits = 26;
inline constexpr uint32_t kGenerationBits = 10;
inline constexpr uint32_t kFramesPerTierMax = uint32_t{1} << kFrameBits;
inline constexpr uint32_t kGenerations = uint32_t{1} << kGenerationBits;

inline constexpr uint32_t kHbmShift = 0;
inline constexpr uint32_t kHbmValidBit = kHbmShift + kFrameBits;
inline constexpr uint32_t kHostShift = kHbmValidBit + 1;
inline constexpr uint32_t kHostValidBit = kHostShift + kFrameBits;
inline constexpr uint32_t kGenerationShift = kHostValidBit + 1;
static_assert(kGenerationShift + kGenerationBits == 64);

// What a word says. A frame that is none is not valid there.
struct PageTableWord {
  FrameIndex frame_hbm;
  FrameIndex frame_host;
  uint32_t generation = 0;  // [0, kGenerations)

  friend constexpr bool operator==(const PageTableWord&, const PageTableWord&) = default;
};

constexpr uint64_t PackWord(const PageTableWord& word) {
  KVP_CHECK(word.generation < kGenerations);
  uint64_t bits = uint64_t{word.generation} << kGenerationShift;
  if (!word.frame_hbm.is_none()) {
    KVP_CHECK(word.frame_hbm.value < kFramesPerTierMax);
    bits |= (uint64_t{1} << kHbmValidBit) | (uint64_t{word.frame_hbm.value} << kHbmShift);
  }
  if (!word.frame_host.is_none()) {
    KVP_CHECK(word.frame_host.value < kFramesPerTierMax);
    bits |= (uint64_t{1} << kHostValidBit) | (uint64_t{word.frame_host.value} << kHostShift);
  }
  return bits;
}

constexpr PageTableWord UnpackWord(uint64_t bits) {
  constexpr uint64_t kFrameMask = kFramesPerTierMax - 1;
  PageTableWord word;
  if ((bits >> kHbmValidBit & 1) != 0) {
    word.frame_hbm = FrameIndex{static_cast<uint32_t>(bits >> kHbmShift & kFrameMask)};
  }
  if ((bits >> kHostValidBit & 1) != 0) {
    word.frame_host = FrameIndex{static_cast<uint32_t>(bits >> kHostShift & kFrameMask)};
  }
  word.generation = static_cast<uint32_t>(bits >> kGenerationShift);
  return word;
}

// Do not renumber.
enum class PageTableState : uint64_t {
  kStarting = 0,  // A fresh memfd is all zero.
  kServing = 1,
  kStopped = 2,  // A clean end: whoever still maps this has lost the daemon.
};

struct PageTableHeader {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t header_bytes;
  uint64_t region_bytes;
  uint64_t incarnation;  // Random per start of the daemon.
  uint32_t blocks_max;
  uint32_t num_groups;
  uint64_t words_offset;
  uint64_t withdrawals_offset;
  uint64_t withdrawals_count;
  alignas(64) std::atomic<uint64_t> state;         // PageTableState
  alignas(64) std::atomic<uint64_t> heartbeat_ns;  // CLOCK_MONOTONIC when the loop last turned.
};
static_assert(offsetof(PageTableHeader, words_offset) == 40);
static_assert(offsetof(PageTableHeader, state) == 64);
static_assert(offsetof(PageTableHeader, heartbeat_ns) == 128);
static_assert(sizeof(PageTableHeader) <= kPageTableHeaderBytes);

// Where things are, and how large the region is, for a pool of this size.
struct PageTableLayout {
  uint64_t words_count = 0;
  uint64_t words_offset = 0;
  uint64_t withdrawals_count = 0;
  uint64_t withdrawals_offset = 0;
  uint64_t region_bytes = 0;  // A multiple of 4096.
};

constexpr PageTableLayout LayoutOf(uint32_t blocks_max, uint32_t num_groups) {
  PageTableLayout layout;
  layout.words_count = uint64_t{blocks_max} * num_groups;  // Two 32-bit factors: no overflow.
  KVP_CHECK(layout.words_count <= uint64_t{1} << 32);      // Pages are numbered in 32 bits.
  layout.words_offset = kPageTableHeaderBytes;
  layout.withdrawals_count = CeilDiv(layout.words_count, kPagesPerWithdrawal);
  layout.withdrawals_offset = AlignUp(layout.words_offset + layout.words_count * 8, 64);
  layout.region_bytes = AlignUp(layout.withdrawals_offset + layout.withdrawals_count * 8, 4096);
  return layout;
}

}  // namespace kvpager

#endif  // KVPAGER_IPC_PAGE_TABLE_LAYOUT_H_
