// memmgr/core/page_state.h
//
// The life of a block and of each copy of its pages, as types and pure functions.
//
// A page may have a copy in several tiers at once, and each copy has its own state, so there are no
// product states such as "in host and on its way to HBM".
//
//   BlockPhase, one per block                     CopyState, one per page and tier
//
//            Allocate         Seal                | event     | absent  | filling | valid    |
//            retiring |
//     free ----------> open ------> sealed |-----------+---------+---------+----------+----------|
//       ^  \            |             |  ^        | Adopt     | valid   | -       | -        | - |
//       |   \           | Release     |  |        | FillStart | filling | -       | -        | - |
//       |    +-Restore--|-------------|--+        | FillDone  | -       | valid   | -        | - |
//       |               v             |           | FillFail  | -       | absent  | -        | - |
//       +---Settle-- draining <-------+           | Withdraw  | -       | -       | retiring | - |
//                                                 | Rescue    | -       | -       | -        |
//                                                 valid    | | Drop      | -       | -       |
//                                                 absent   | absent   |
//
// A dash is a programmer error: Next() returns nullopt and the caller must CHECK. A retiring copy
// is the source of a move (R3): withdrawn from the page table, still good, dropped when the move
// ends.
//
// Invariants (names are used by tests and by crash messages; docs/PAGE_LIFECYCLE.md says why):
//   P1  free: every copy absent, no references, no pins, no claims.
//   P2  open, sealed: every page has a copy that is valid or retiring, or is being made (a new page
//       of a step that collects). A page that loses its last copy takes its block with it.
//   P3  write_pins > 0: phase open; every page's HBM copy is valid, is the only copy, and nothing
//   is
//       reading it.
//   P4  pins > 0: that copy is valid.
//   P5  draining: no references, no pins, no claims; only operations in flight keep it.
//   P6  readers > 0: that copy is valid or retiring.
//   P7  A copy has a frame if and only if it is not absent.
//
// Ownership: values only. Thread-safety: none, the core is single-threaded. Errors: none.

#ifndef KVPAGER_MEMMGR_CORE_PAGE_STATE_H_
#define KVPAGER_MEMMGR_CORE_PAGE_STATE_H_

#include <array>
#include <cstdint>
#include <optional>

#include "memmgr/base/ids.h"

namespace kvpager {

enum class BlockPhase : uint8_t { kFree, kOpen, kSealed, kDraining };
enum class BlockEvent : uint8_t { kAllocate, kRestore, kSeal, kRelease, kSettle };

enum class CopyState : uint8_t { kAbsent, kFilling, kValid, kRetiring };
enum class CopyEvent : uint8_t {
  kAdopt,
  kFillStart,
  kFillDone,
  kFillFail,
  kWithdraw,
  kRescue,
  kDrop
};

constexpr std::optional<BlockPhase> Next(BlockPhase phase, BlockEvent event) {
  switch (event) {
    case BlockEvent::kAllocate:
      if (phase == BlockPhase::kFree) return BlockPhase::kOpen;
      return std::nullopt;
    case BlockEvent::kRestore:
      if (phase == BlockPhase::kFree) return BlockPhase::kSealed;
      return std::nullopt;
    case BlockEvent::kSeal:
      if (phase == BlockPhase::kOpen) return BlockPhase::kSealed;
      return std::nullopt;
    case BlockEvent::kRelease:
      if (phase == BlockPhase::kOpen || phase == BlockPhase::kSealed) return BlockPhase::kDraining;
      return std::nullopt;
    case BlockEvent::kSettle:
      if (phase == BlockPhase::kDraining) return BlockPhase::kFree;
      return std::nullopt;
  }
  return std::nullopt;
}

constexpr std::optional<CopyState> Next(CopyState state, CopyEvent event) {
  switch (event) {
    case CopyEvent::kAdopt:
      if (state == CopyState::kAbsent) return CopyState::kValid;
      return std::nullopt;
    case CopyEvent::kFillStart:
      if (state == CopyState::kAbsent) return CopyState::kFilling;
      return std::nullopt;
    case CopyEvent::kFillDone:
      if (state == CopyState::kFilling) return CopyState::kValid;
      return std::nullopt;
    case CopyEvent::kFillFail:
      if (state == CopyState::kFilling) return CopyState::kAbsent;
      return std::nullopt;
    case CopyEvent::kWithdraw:
      if (state == CopyState::kValid) return CopyState::kRetiring;
      return std::nullopt;
    case CopyEvent::kRescue:
      if (state == CopyState::kRetiring) return CopyState::kValid;
      return std::nullopt;
    case CopyEvent::kDrop:
      if (state == CopyState::kValid || state == CopyState::kRetiring) return CopyState::kAbsent;
      return std::nullopt;
  }
  return std::nullopt;
}

struct Copy {
  FrameIndex frame;      // none if and only if state is absent (P7).
  uint16_t readers = 0;  // Operations in flight that read this frame.
  uint16_t pins = 0;     // Ready steps that may read (or write) this frame now.
  CopyState state = CopyState::kAbsent;

  bool valid() const { return state == CopyState::kValid; }
  bool absent() const { return state == CopyState::kAbsent; }
  bool idle() const { return valid() && readers == 0 && pins == 0; }  // May be dropped.
};

struct Page {
  std::array<Copy, kTierCount> copies;  // Indexed by Tier.
  FrameIndex parted;    // In HBM: where it was last, if it went to limbo and has not been back.
  uint16_t claims = 0;  // Places in the collecting step that still wait for it.
  std::array<bool, 2> clean{};  // Counted in the clean stock of hbm, host.
  bool guarded = false;         // Read ahead of its step (read_ahead.h).

  const Copy& copy(Tier tier) const { return copies[TierIndex(tier)]; }
  Copy& copy(Tier tier) { return copies[TierIndex(tier)]; }
};

struct Block {
  BlockKey key;                 // None until named (or a duplicate of a named one).
  Stamp stamp;                  // Of its NVMe run.
  BlockIndex parent;            // The block before it in its prefix chain ...
  uint32_t parent_version = 0;  // ... unless that row has been freed since.
  uint32_t row_version = 0;     // Grows with every use of this row.
  FrameIndex nvme_first;        // First frame of its run; none: no run.
  NamespaceId name_space;
  ClientId writer;          // Whose steps may write it while it is open; none once it is sealed.
  uint32_t references = 0;  // Places in sequences that hold it.
  uint32_t children = 0;    // Blocks whose parent it is.
  std::array<uint32_t, kTierCount> children_in{};  // Those with a page in the tier.
  std::array<uint32_t, kTierCount> pages_in{};     // Pages with a copy that is not absent.
  std::array<uint32_t, 2> clean_pages{};           // Those in the clean stock of hbm, host.
  uint32_t pages_valid_nvme = 0;
  uint64_t last_use = 0;
  uint64_t mark = 0;           // Scratch: the pass that saw it last.
  uint16_t filled_tokens = 0;  // Written, or promised to a step that is ready.
  uint16_t generation = 0;     // [0, 1024)
  uint16_t write_pins = 0;     // Ready steps that write it.
  BlockPhase phase = BlockPhase::kFree;
  uint8_t touches = 0;      // Saturating: made, then found again.
  bool admitted = false;    // Worth an NVMe write: found so when it was sealed or found again.
  bool named = false;       // In the prefix index under `key`.
  bool durable = false;     // Not evicted from NVMe.
  bool nvme_named = false;  // Its NVMe headers carry `key`.
  bool catalogued = false;  // The catalogue was told.
  bool committed = false;   // ... and that entry is durable.
  bool restored = false;    // Found at start, not verified yet.
  bool rewrite = false;     // Leaves its unnamed run, to be written under its name.
  bool run_bad = false;     // A frame of its run could not be read: nobody gets the run again.
  bool movable = false;     // Suspended: may be moved although open.
  bool cut_unseen = false;  // Taken from a sequence that a step may read of which nobody told us.
  bool unseen = false;  // While open its engine may write it without a word: it stays where it is.

  bool live() const { return phase == BlockPhase::kOpen || phase == BlockPhase::kSealed; }
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_PAGE_STATE_H_
