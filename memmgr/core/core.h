// memmgr/core/core.h
//
// Core: everything kvpager decides, as one deterministic object. It owns the tables of one pool and
// turns inputs into effects; docs/PAGE_LIFECYCLE.md has the rules it follows (R1 to R11) and the
// invariants it keeps (P1 to P7).
//
//   Step(command)          an engine or administrator asks
//   Complete(completion)   an executor has finished an operation
//   Tick()                 time has passed, or work was left over (R10)
//
// None of them blocks, allocates or does more than Limits::pages_per_input pages of work. What is
// left over waits for the next input; has_work() says that a Tick should follow at once.
//
// Thread-safety: none; one thread. Errors: Create only. Programmer errors are CHECKs.

#ifndef KVPAGER_MEMMGR_CORE_CORE_H_
#define KVPAGER_MEMMGR_CORE_CORE_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "memmgr/core/effect.h"
#include "memmgr/core/limbo.h"
#include "memmgr/core/limits.h"
#include "memmgr/core/metrics.h"
#include "memmgr/core/write_budget.h"

namespace kvpager {

struct CoreState;

// A block found on NVMe at start, from the catalogue or from a scan of headers. Unverified: the
// first read decides.
struct RestoredBlock {
  BlockKey key;
  BlockKey parent_key;  // None for the first block of a prompt.
  FrameIndex frame_first;
  Stamp stamp;
  uint64_t last_use = 0;
  bool durable = false;
};

// What the headers of one run say, read while the daemon serves (Core::Reconcile).
struct FoundRun {
  FrameIndex frame_first;
  RestoredBlock found;    // Key none: no whole block that has a name.
  BlockKey expected_key;  // Of the block that was restored there at start; none: none was.
  Stamp expected_stamp;   // Of the same.
};

// What became of it.
struct RunFinding {
  bool restored = false;      // A block that nobody knew.
  bool lost = false;          // The expected block: its run holds something else.
  bool lost_durable = false;  // ... and it had been promised.
  bool again = false;  // Show it once more when all have been shown: another run was known under
                       // its key, or its parent was not known yet.
};

// What an administrator sees of one sequence.
struct SequenceInfo {
  SequenceId sequence;
  ClientId client;
  NamespaceId name_space;
  uint64_t length_tokens = 0;
  uint32_t blocks = 0;
  uint32_t steps = 0;                        // That read it now.
  std::array<uint64_t, kTierCount> pages{};  // With a valid copy in the tier, nearest first.
  bool suspended = false;
};

struct TierInfo {
  uint64_t frames = 0;
  uint64_t frames_free = 0;
  uint64_t pages_clean = 0;  // Also valid in a lower tier.
  uint64_t pages_pinned = 0;
  uint64_t blocks = 0;  // With a copy here.
};

// Steps of one client: what it waits for, and what it holds and has not ended.
struct StepsInfo {
  uint32_t waiting = 0;  // For the core; nothing of them is the client's yet.
  uint32_t ready = 0;
  std::array<uint64_t, kLanesMax> ready_oldest{};  // Number of the oldest in each lane; 0: none.
};

// What others cannot have because of one client.
struct HoldingsInfo {
  uint64_t pages_pinned = 0;        // Counted once per step.
  uint64_t frames_limbo = 0;        // That wait for its lanes, alone or among others.
  uint64_t frames_quarantined = 0;  // It was revoked, and may still write them.
};

class Core {
 public:
  // Allocates everything the core will ever use. Fails only if the limits contradict each other.
  static absl::StatusOr<std::unique_ptr<Core>> Create(const Limits& limits);
  ~Core();

  // An empty Effects with room for whatever one input can cause.
  Effects MakeEffects() const;

  // Before the first input, oldest last use first: false if there is no room or the run is taken.
  bool Restore(const RestoredBlock& block);
  // After the last Restore, if blocks may be on NVMe that it was not told of: nobody is given a run
  // that has not been shown to Reconcile. Then every run has to be, `last` at the last time.
  void HoldUnread();
  // The seventh input: the headers of one run, as they are or were at any time since the start.
  RunFinding Reconcile(Instant now, const FoundRun& run, bool last, Effects& effects);

  // The three inputs. `now` never goes back. `effects` must be empty; it is filled, never kept.
  void Step(Instant now, const Command& command, Effects& effects);
  void Complete(Instant now, const Completion& completion, Effects& effects);
  void Tick(Instant now, Effects& effects);

  // Engines that run steps without a message (docs/SHARED_PAGE_TABLE.md). NoteLanes only remembers
  // what an engine's lanes say. After every input that leaves has_unstamped_frames(), carry out its
  // effects, note the lanes of all such engines, then call PassLimbo, the fourth input. Call it
  // too, with fresh lanes, from time to time while wants_lanes().
  void NoteLanes(ClientId client, const LaneCounters& lanes);
  void PassLimbo(Instant now, Effects& effects);
  // The device of the NVMe tier has failed too often: the tier is out of service from now on, and
  // what was only there is lost (nvme_loss.h). Operations in flight still complete. The sixth
  // input.
  void LoseNvme(Instant now, Effects& effects);
  // The answer to a CreditWrite of kind kRevoke, right after it was carried out: the fifth input.
  void AnswerCredit(Instant now, SequenceId sequence, bool taken, Effects& effects);
  bool nvme_lost() const;
  bool has_unstamped_frames() const;
  uint32_t limbo_frames() const;        // Withdrawn, and perhaps still read.
  uint32_t quarantined_frames() const;  // Kept from everybody until a revoked engine is gone.
  bool wants_lanes() const;
  bool wants_lanes_soon() const;  // A step waits for frames in limbo.

  bool has_work() const;

  // When Tick is next needed although nothing else happened: a deadline. Calling it early is
  // harmless.
  Instant next_deadline() const;

  const Limits& limits() const;
  const CoreMetrics& metrics() const;
  TierInfo tier_info(Tier tier) const;
  // Frames charged to the namespace (charges.h); none: to restored blocks that nobody has opened.
  uint32_t frames_charged(NamespaceId name_space, Tier tier) const;
  const WriteBudget& write_budget() const;
  uint32_t sequences_open() const;
  uint32_t steps_open() const;    // Waiting or ready.
  uint32_t blocks_known() const;  // With a row: every block that has a copy, or is about to.
  uint32_t operations_in_flight() const;

  // Sequences in slot order, starting with the first at or after slot `slot_first`; nullopt-like
  // (sequence none) behind the last. For administrators: O(blocks of the sequence).
  SequenceInfo sequence_info(uint32_t slot_first) const;
  SequenceId sequence_in_slot(uint32_t slot) const;  // None: no open one.
  // O(steps_max) if the client has steps.
  StepsInfo steps_of(ClientId client) const;
  // For administrators: O(pages of its steps + frames in limbo).
  HoldingsInfo holdings_of(ClientId client) const;
  static uint32_t SlotOf(SequenceId sequence) { return static_cast<uint32_t>(sequence.value); }

  // CHECKs every invariant of every table. O(pages + frames); for tests, the simulator and debug.
  void Verify() const;

  // For tests and transcripts.
  const CoreState& state() const { return *state_; }

 private:
  explicit Core(std::unique_ptr<CoreState> state);
  std::unique_ptr<CoreState> state_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_CORE_H_
