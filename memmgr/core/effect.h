// memmgr/core/effect.h
//
// The seam between the core, which decides, and the executors, which act.
//
// The core is a function: (state, input, now) -> (state, Effects). It starts no I/O, owns no
// thread, reads no clock and calls nobody back. The daemon executes Effects and later feeds each
// finished operation back as a Completion. Tests and the simulator do the same with fake executors.
//
// What an executor may rely on:
//   E1  Independence. Operations in flight together never conflict: no frame is written by one
//       while another reads or writes it. So an executor may start, reorder and run them at will.
//   E2  Bounds. At most Limits::in_flight_max[channel] operations are in flight per channel, so
//       Submit never has to refuse.
// What the core relies on:
//   E3  Exactly one Completion per operation with an OpId: also after an error or a shutdown.
//   E4  No re-entry. A Completion comes from Poll, never from inside Submit.
//   E5  A failed copy leaves its source intact. Its target holds garbage, and stays reserved until
//       the Completion.
//   E6  kOk from kNvmeToHost means: the frame header held this key, group and stamp, and its
//       checksum matched the bytes. kOk from kHostToHbm and kHostToNvme means that the checksum
//       which kHbmToHost or kNvmeToHost stored with the host frame still matched. So a lost write,
//       a misdirected write or a flipped bit is kCorrupt, never a wrong page.
//
// Units: names carry them. Ownership: everything is a value; spans point into the same Effects.
// Thread-safety: values. Errors: an operation fails through Completion::outcome only.

#ifndef KVPAGER_MEMMGR_CORE_EFFECT_H_
#define KVPAGER_MEMMGR_CORE_EFFECT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "memmgr/base/ids.h"

namespace kvpager {

// kScrub zeroes the HBM frame `target` before it changes namespace; it has no source.
enum class Channel : uint8_t {
  kHbmToHost,
  kHostToHbm,
  kHbmToHbm,
  kScrub,
  kHostToNvme,
  kNvmeToHost
};
inline constexpr int kChannelCount = 6;
inline constexpr size_t ChannelIndex(Channel channel) { return static_cast<size_t>(channel); }

// Copies one whole frame. Sizes and alignment are fixed by the pool's geometry.
struct CopyOp {
  OpId op;
  Channel channel = Channel::kHbmToHost;
  FrameIndex source;  // In the channel's source tier.
  FrameIndex target;  // In the channel's target tier.
  PageIndex page;     // Stored with, or checked against, the host frame (E6).
  // For the two NVMe channels: written to, or checked against, the frame header (E6).
  BlockKey key;
  BlockKey parent_key;  // Written only: lets a scan of headers rebuild the prefix chains.
  Stamp stamp;
  uint32_t group = 0;
  NamespaceId name_space;  // Whose bytes they are: an encrypted tier has a key for each.
};

// Makes the catalogue say that `key` lives in the run of NVMe frames that starts at `frame_first`,
// or, if frame_first is none, nowhere. Without an op it is a hint: the frame headers are the truth
// (E6), so a lost or late write costs a miss, never a wrong hit. With an op it is a durable write:
// the data file is flushed first, then the entry is committed with sync, then the op completes.
struct CatalogueWrite {
  OpId op;  // None for a hint.
  BlockKey key;
  BlockKey parent_key;
  FrameIndex frame_first;
  Stamp stamp;
  uint64_t last_use = 0;  // Grows with every use: restores the order of recency.
};

// What one word of the shared page table must say now (ipc packs it).
struct PageTableWrite {
  PageIndex page;
  FrameIndex frame_hbm;  // None: not valid there.
  FrameIndex frame_host;
  uint32_t generation = 0;  // [0, 1024)
};

// What the word of a sequence's credit must say (credits.h): kGrant, that the engine may take the
// block; kRevoke, that it may not, unless it has: Core::AnswerCredit wants to know, before any
// other input; kClear, that there is none.
enum class CreditWriteKind : uint8_t { kGrant, kRevoke, kClear };
struct CreditWrite {
  CreditWriteKind kind = CreditWriteKind::kClear;
  ClientId client;
  SequenceId sequence;
  BlockIndex block;
  uint32_t generation = 0;  // Of its pages, [0, 1024).
};

// Where the time of a step that became ready went.
struct StepWait {
  uint64_t queue_ns = 0;  // Behind other steps (R1), before it could collect.
  uint64_t room_ns = 0;   // No frame was free and none was clean: waiting for a demotion.
  uint64_t nvme_ns = 0;   // Reads from NVMe were outstanding.
  uint64_t host_ns = 0;   // Only copies from host memory (or scrubs) were outstanding.
  uint64_t promoted_host_pages = 0;  // Pages that came from host memory ...
  uint64_t promoted_nvme_pages = 0;  // ... and from NVMe.
};

// What changed in the block list of a sequence: everything at and after `block_position` is now
// what the runs say, and the sequence has `length_tokens` tokens.
struct SequenceUpdate {
  SequenceId sequence;
  uint64_t length_tokens = 0;
  uint32_t block_position = 0;
  uint32_t run_first = 0;  // Into Effects::runs.
  uint32_t run_count = 0;
};

// Why a step was refused whose namespace has quotas, in numbers: kMaximum, it needs more of the
// tier than `quota_pages`, or has all of them in use and nowhere to put them; kGuarantees, the rest
// of the tier is guaranteed to others.
enum class QuotaLimit : uint8_t { kNone, kMaximum, kGuarantees };
struct QuotaRefusal {
  QuotaLimit limit = QuotaLimit::kNone;
  Tier tier = Tier::kHbm;
  uint64_t quota_pages = 0;   // What the namespace can have at most.
  uint64_t needed_pages = 0;  // What the step reads and writes, at least.
};

// Which kind of answer, so that a reader need not know the request.
enum class ReplyKind : uint8_t {
  kAnswer,
  kStepReady,
  kLossNotice,
  kClientReleased,
  kClientRevoked
};

// Answers an engine. `status` is a canonical code. An answer other than kOk means that nothing
// changed, with one exception: kDataLoss, after which each sequence in the updates has been
// truncated to what is still good.
//   kAnswer          echoes Command::request.
//   kStepReady       echoes the request of StepBegin; `ticket` names the step. With kDataLoss the
//                    step is over: nothing of it is pinned, its appended tokens are gone.
//   kLossNotice      request 0: a sequence that no step is reading was cut.
//   kClientReleased  request 0: everything of a gone client is released; its slot may be reused.
//   kClientRevoked   request 0: of a revoked client only what it could write is left, in quarantine
//                    until it is gone. Left out if it is gone by then.
struct Reply {
  ClientId client;
  uint64_t request = 0;
  ReplyKind kind = ReplyKind::kAnswer;
  absl::StatusCode status = absl::StatusCode::kOk;
  std::string_view reason;  // A static sentence when status is not kOk.
  SequenceId sequence;      // Open, Fork: the new sequence.
  uint64_t tokens = 0;      // Open, Extend: tokens reused. Truncate: what is left.
  std::array<uint32_t, kTierCount> hit_blocks{};  // Open, Extend: where the reused blocks were.
  Ticket ticket;                                  // kStepReady.
  StepWait wait;                                  // kStepReady.
  QuotaRefusal quota;                             // kStepReady with kResourceExhausted.
  uint32_t update_first = 0;                      // Into Effects::updates.
  uint32_t update_count = 0;
};

// All that one input caused. Execute in this order: page_table_writes, credit_writes, replies, then
// copies and catalogue_writes in any order. (A word is withdrawn before its frame is overwritten,
// and published before the engine hears of it.)
//
// Core::MakeEffects makes one with room for the worst case of one input, so the vectors never grow.
// The caller owns it and reuses it; it must be empty when passed to the core.
struct Effects {
  std::vector<PageTableWrite> page_table_writes;
  std::vector<CreditWrite> credit_writes;
  std::vector<Reply> replies;
  std::vector<SequenceUpdate> updates;
  std::vector<BlockRun> runs;
  std::vector<CopyOp> copies;
  std::vector<CatalogueWrite> catalogue_writes;

  bool empty() const {
    return page_table_writes.empty() && credit_writes.empty() && replies.empty() &&
           copies.empty() && catalogue_writes.empty();
  }
  void Clear() {
    page_table_writes.clear();
    credit_writes.clear();
    replies.clear();
    updates.clear();
    runs.clear();
    copies.clear();
    catalogue_writes.clear();
  }
};

enum class Outcome : uint8_t {
  kOk,
  kFailed,   // The device or the kernel refused. The source copy is still good.
  kCorrupt,  // The bytes read are not the page asked for. The source copy is bad: drop it.
};

struct Completion {
  OpId op;
  Outcome outcome = Outcome::kOk;
  int32_t os_error = 0;  // errno or cudaError_t, for the log only; never branch on it.
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_EFFECT_H_
