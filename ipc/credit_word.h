// ipc/credit_word.h
//
// The word of a credit: an empty block that the daemon has put at an engine's disposal, as the next
// block of one sequence (docs/SHARED_PAGE_TABLE.md, Credits).
//
//   bits   0..1   state       2..11  generation of the block's pages
//         12..43  block      44..63  tag: low bits of the sequence's generation
//
//   none    -> granted   the daemon stores it
//   granted -> taken     the engine, by compare-and-swap; and back, if it then does not begin
//   granted -> none      the daemon, by compare-and-swap: it revokes
//   any     -> none      the daemon stores it, when it has heard that the block is in use, or when
//                        the sequence has no further use for it
//
// Thread-safety: values. Errors: none; what an engine finds there that makes no sense is no credit.

#ifndef KVPAGER_IPC_CREDIT_WORD_H_
#define KVPAGER_IPC_CREDIT_WORD_H_

#include <cstdint>

namespace kvpager {

enum class CreditWordState : uint8_t { kNone = 0, kGranted = 1, kTaken = 2 };

struct CreditWord {
  CreditWordState state = CreditWordState::kNone;
  uint32_t generation = 0;  // [0, 1024)
  uint32_t block = 0;
  uint32_t tag = 0;

  static constexpr uint32_t TagOf(uint64_t sequence) {
    return static_cast<uint32_t>(sequence >> 32) & 0xfffff;
  }

  constexpr uint64_t Pack() const {
    return static_cast<uint64_t>(state) | uint64_t{generation} << 2 | uint64_t{block} << 12 |
           uint64_t{tag} << 44;
  }
  static constexpr CreditWord Unpack(uint64_t packed) {
    return {.state = static_cast<CreditWordState>(packed & 3),
            .generation = static_cast<uint32_t>(packed >> 2) & 0x3ff,
            .block = static_cast<uint32_t>(packed >> 12),
            .tag = static_cast<uint32_t>(packed >> 44)};
  }

  friend constexpr bool operator==(const CreditWord&, const CreditWord&) = default;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_CREDIT_WORD_H_
