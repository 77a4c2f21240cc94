// memmgr/core/command.h
//
// What engines and administrators ask of the core: one Command in, any number of Replies out.
//
// Every command with a request other than 0 is answered exactly once, in this input or a later one.
// Commands of one client that concern one sequence take effect in the order given.
//
// Letting go. Fork, Truncate, Name, Suspend and Close may be posted while a step still writes. Each
// carries the newest ticket of its lane and takes effect when that step has ended (STEPS.md:
// without this, wrong bytes with a valid checksum).
//
// Ownership: spans belong to the caller and are read during the call only. Limits: a list longer
// than Limits allows is kInvalidArgument; callers split it.

#ifndef KVPAGER_MEMMGR_CORE_COMMAND_H_
#define KVPAGER_MEMMGR_CORE_COMMAND_H_

#include <cstdint>
#include <variant>

#include "absl/types/span.h"
#include "memmgr/base/ids.h"

namespace kvpager {

inline constexpr uint32_t kAllOfThem = ~uint32_t{0};

// Which pages of a sequence: groups [group_first, +group_count), blocks [block_first,
// +block_count), cut at the sequence's end.
struct PageRange {
  uint32_t group_first = 0;
  uint32_t group_count = kAllOfThem;
  uint32_t block_first = 0;
  uint32_t block_count = kAllOfThem;

  friend bool operator==(const PageRange&, const PageRange&) = default;
};

// Where the pages of a step must be while it runs.
enum class Residency : uint8_t {
  kResident,  // All in HBM.
  kSplit,  // Each where it is, in HBM or in host memory; what is only on NVMe comes to host memory.
};

struct StepEntry {
  SequenceId sequence;
  uint32_t append_tokens = 0;
  PageRange range;     // Pages appended to are always included.
  bool draft = false;  // Appended tokens may be rolled back: their blocks stay open.
  // Rows at and after this token will be rewritten in place (compaction); none: all ones.
  uint64_t rewrite_from_tokens = ~uint64_t{0};
};

// A new engine in slot `client`, which must be free. Everything it names lies in `name_space`.
struct AttachCommand {
  NamespaceId name_space;
  bool message_free = false;  // It has lanes, and runs steps on resident pages without a word.
};

// The engine's process is gone: its steps have ended, its unnamed blocks are free to go. Answered
// by kClientReleased when all of it is done.
struct GoneCommand {};

// The engine is taken for gone, but its process may live on and run kernels: its steps have ended,
// its unnamed blocks are free to go, except that HBM frames which it could write are kept until
// Gone says that the process is gone too. Answered by kClientRevoked when all of it is done.
struct RevokeCommand {};

// A sequence that starts with the longest known prefix of `keys`.
struct OpenCommand {
  absl::Span<const BlockKey> keys;
};

// More keys behind a sequence that consists of reused blocks only: reuses as many as are known.
struct ExtendCommand {
  SequenceId sequence;
  absl::Span<const BlockKey> keys;
};

// A sequence with the contents of `parent`: all blocks are shared; a partial tail is copied when
// somebody appends.
struct ForkCommand {
  SequenceId parent;
  Ticket ticket;
};

// Drops the tokens at and after `tokens`. With `accept`, what is left is no longer a draft.
struct TruncateCommand {
  SequenceId sequence;
  uint64_t tokens = 0;
  bool accept = false;
  Ticket ticket;
};

// Names the full blocks [block_first, +keys.size()), so that they outlive the sequence. With
// `durable` the answer comes when they and all blocks before them are on NVMe, flushed.
struct NameCommand {
  SequenceId sequence;
  uint32_t block_first = 0;
  absl::Span<const BlockKey> keys;
  bool durable = false;
  Ticket ticket;
};

// Out of use for a while: first in line for demotion; even its partial tail may be moved.
struct SuspendCommand {
  SequenceId sequence;
  Ticket ticket;
};

struct ResumeCommand {
  SequenceId sequence;
};

struct CloseCommand {
  SequenceId sequence;
  Ticket ticket;
};

// Steps that the core was not told of append `tokens`, behind `length_tokens`: to the open block at
// the end, and to the sequence's credit. Those that wrote the tokens before `written_tokens` have
// ended. Ignored if the sequence has another length by now: then its engine has been told.
struct AppendedCommand {
  SequenceId sequence;
  uint64_t length_tokens = 0;
  uint32_t tokens = 0;
  uint64_t written_tokens = 0;
};

// Such steps have used the sequence since it was last said.
struct UsedCommand {
  SequenceId sequence;
};

// Pins everything the step reads, fetching what is absent; answered by kStepReady. Steps of one
// client become ready in the order they were asked for.
struct StepBeginCommand {
  Ticket ticket;
  Residency residency = Residency::kResident;
  absl::Span<const StepEntry> entries;
};

// The step's end has passed: its new tokens are kept, its pins are gone. Needs no request id.
struct StepEndCommand {
  Ticket ticket;
};

// For a step that is not ready: gives up its place. Answered; the step's own answer is kAborted.
// A step that has become ready meanwhile is kFailedPrecondition: end it instead.
struct StepCancelCommand {
  Ticket ticket;
};

// Brings pages nearer without pinning them: to host memory or to HBM, out of free stock only. Names
// either a sequence or keys. Answered at once; given up at the deadline.
struct PrefetchCommand {
  SequenceId sequence;
  absl::Span<const BlockKey> keys;
  Tier tier = Tier::kHbm;
  Instant deadline;
  uint32_t priority = 0;  // Higher first.
};

// Moves the pages of a sequence down to `tier` (kHost or kNvme), except those that a step reads.
// Answered when they have moved.
struct EvictCommand {
  SequenceId sequence;
  Tier tier = Tier::kHost;
};

struct Command {
  ClientId client;       // None: an administrator, who may use Prefetch and Evict only.
  uint64_t request = 0;  // 0: no answer wanted.
  std::variant<AttachCommand, GoneCommand, RevokeCommand, OpenCommand, ExtendCommand, ForkCommand,
               TruncateCommand, NameCommand, SuspendCommand, ResumeCommand, CloseCommand,
               AppendedCommand, UsedCommand, StepBeginCommand, StepEndCommand, StepCancelCommand,
               PrefetchCommand, EvictCommand>
      body;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_COMMAND_H_
