// memmgr/core/state.h
//
// CoreState: all tables of one pool, and what one input carries through the modules that work on
// them. The modules are free functions over it:
//
//   core.cc        dispatches inputs and runs everything to a fixed point (R5)
//   sequences.h    open, extend, fork, truncate, name, suspend, close; jobs and deferred commands
//   collector.h    steps: admit, claim, fetch, pin, end (R1)
//   planner.h      copies: promotion, demotion, NVMe, stocks (R2 to R8)
//   room.h         frames for them, and who makes way; quota_stuck.h, when nobody may
//   background.h   prefetches, evictions, durable names
//   nvme_loss.h    the NVMe tier out of service
//   credits.h      blocks given to engines ahead of time
//   loss.h         blocks that are gone, sequences that are cut
//
// Ownership: everything is here. Thread-safety: none. No allocation after construction.

#ifndef KVPAGER_MEMMGR_CORE_STATE_H_
#define KVPAGER_MEMMGR_CORE_STATE_H_

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/block_table.h"
#include "memmgr/core/command.h"
#include "memmgr/core/credits.h"
#include "memmgr/core/effect.h"
#include "memmgr/core/limbo.h"
#include "memmgr/core/limits.h"
#include "memmgr/core/metrics.h"
#include "memmgr/core/operation_table.h"
#include "memmgr/core/prefix_index.h"
#include "memmgr/core/read_ahead.h"
#include "memmgr/core/sequence_table.h"
#include "memmgr/core/step_table.h"

namespace kvpager {

inline constexpr uint32_t kDeferredKeysMax = 256;

struct Client {
  bool attached = false;
  bool gone = false;         // Being taken apart.
  bool revoked = false;      // ... although its process may live on.
  bool taken_apart = false;  // A revoked one: only its quarantine is left.
  NamespaceId name_space;
  std::array<uint64_t, kLanesMax> begun{};  // Newest step number of each lane.
  uint32_t unready_first = kNoSlot;         // Its waiting and collecting steps, oldest first.
  uint32_t unready_last = kNoSlot;
  uint32_t steps = 0;
  uint32_t sequences = 0;
};

// Work that may need more than one input's budget (R10): in order for each client, clients in turn.
enum class JobKind : uint8_t { kEndStep, kTruncate, kFork, kClose, kCut, kGone };
struct Job {
  JobKind kind = JobKind::kEndStep;
  ClientId client;
  uint64_t request = 0;
  uint32_t step = kNoSlot;  // kEndStep
  SequenceId sequence;      // The one to change; kFork: the child.
  SequenceId parent;        // kFork
  uint64_t tokens = 0;      // kTruncate: what is left; kFork: the parent's length.
  bool accept = false;
  uint32_t next = kNoSlot;  // Younger of the same client; or next free.
};

// The jobs of one client, oldest first.
struct JobQueue {
  uint32_t first = kNoSlot;
  uint32_t last = kNoSlot;
  uint32_t count = 0;
  uint32_t left = 0;  // Scratch: not looked at yet in this round.
};

// A command that waits for its ticket, or behind one that does.
struct Deferred {
  uint64_t order = 0;       // As Step::age: who was asked for first.
  uint32_t next = kNoSlot;  // Younger; or next free.
  Command command;          // Its span, if any, points into deferred_keys.
  SequenceId sequence;
  Ticket ticket;
  uint32_t keys = kNoSlot;  // Its place in deferred_keys.
};

struct Prefetch {
  bool in_use = false;
  SequenceId sequence;
  bool owns_sequence = false;  // Made for it; closed with it.
  Tier tier = Tier::kHbm;
  Instant deadline;
  uint32_t priority = 0;
  uint32_t position = 0;  // First block that may still be missing.
};

struct Eviction {
  bool in_use = false;
  ClientId client;
  uint64_t request = 0;
  SequenceId sequence;
  Tier tier = Tier::kHost;
  uint32_t position = 0;
};

// A durable name on its way: every block before `blocks_end` must reach NVMe, then the catalogue.
struct DurableName {
  bool in_use = false;
  ClientId client;
  uint64_t request = 0;
  SequenceId sequence;              // The core's own, with the same blocks.
  uint32_t position = 0;            // First block that may not be on NVMe yet.
  uint32_t position_catalogue = 0;  // First block whose entry was not sent.
  uint32_t writes_in_flight = 0;    // Durable catalogue writes.
  absl::StatusCode failure = absl::StatusCode::kOk;
};

struct CoreState {
  explicit CoreState(const Limits& core_limits);

  const Limits limits;
  BlockTable blocks;
  PrefixIndex index;
  SequenceTable sequences;
  StepTable steps;
  OperationTable operations;
  CreditTable credits;
  Guards guards;
  std::vector<Client> clients;
  std::vector<LaneUser> lane_users;  // By client slot.
  // Frames collected so far, kShareMax for each, over the share: who had more waits (R1).
  std::vector<uint64_t> namespace_pages;
  uint64_t turn_pages = 0;  // Of the namespace whose turn it was last: where newcomers begin.
  std::vector<Deferred> deferred;
  uint32_t deferred_first = kNoSlot;  // Oldest first.
  uint32_t deferred_last = kNoSlot;
  uint32_t deferred_free = kNoSlot;
  uint32_t deferred_count = 0;  // Without closes, for which there is always a row.
  std::vector<std::array<BlockKey, kDeferredKeysMax>> deferred_keys;
  std::vector<uint32_t> deferred_keys_free;
  uint64_t order = 0;   // Of steps and deferred commands.
  uint64_t passes = 0;  // Over the deferred commands.
  std::vector<Job> jobs;
  uint32_t job_free = kNoSlot;
  uint32_t job_count = 0;
  std::vector<JobQueue> job_queues;  // By client; the last: the core's own.
  uint32_t job_turn = 0;             // The queue whose turn is next.
  bool jobs_fresh = false;           // Some may go on; else all wait for others.
  std::vector<Prefetch> prefetches;
  std::vector<Eviction> evictions;
  std::vector<DurableName> durable_names;
  uint32_t durable_names_in_use = 0;
  uint32_t durable_blocks = 0;
  std::vector<std::vector<bool>> split_pages;  // Per SPLIT slot: pages pinned in host memory.
  std::vector<bool> split_in_use;
  CoreMetrics metrics;

  uint32_t collecting = kNoSlot;  // The one step that collects (R1).
  uint64_t stamp_counter = 0;
  std::array<bool, 2> refilling_free{};  // Between the watermarks, on the way up: hbm, host.
  std::array<bool, 2> refilling_clean{};
  uint32_t nvme_write_failures = 0;  // In a row.
  Instant nvme_write_retry;          // No write starts before this.
  uint32_t nvme_rows_left = 0;       // Out of service: rows not looked at yet (nvme_loss.h).

  // One input.
  Instant now;
  Effects* effects = nullptr;
  uint64_t inputs = 0;
  uint32_t budget = 0;      // Pages of work left (R10).
  bool progress = false;    // Something changed that may let others go on.
  bool unfinished = false;  // The budget ran out: a Tick should follow.
  bool jobs_cut = false;    // Jobs wait for the next input, so that steps get their part of this.

  Client& client(ClientId id) { return clients[id.value]; }
  // True if every step of the lane up to the ticket has ended, also those that the core was never
  // told of. O(steps_max) if the client has any.
  bool TicketPassed(ClientId id, Ticket ticket) const;
  // The same of the steps that it was told of.
  bool PinnedStepsPassed(ClientId id, Ticket ticket) const;
  // What will give back frames by itself: operations, frames in limbo, and credits asked for.
  bool AwaitsFrames() const {
    return operations.in_flight_total() > 0 || blocks.limbo().count() > 0 || credits.asked() > 0 ||
           blocks.runs_held() > 0;
  }
  void PushJob(const Job& job);
  // Spends `pages` of the budget; false, and nothing spent, when none is left.
  bool Spend(uint32_t pages = 1) {
    if (budget == 0) return false;
    budget -= pages < budget ? pages : budget;
    return true;
  }
  bool EffectsHaveRoom() const;

  // The answer to a request; nothing if request is 0.
  Reply& Answer(ClientId to, uint64_t request, absl::StatusCode status, std::string_view reason);
  // A message that answers nothing.
  Reply& Notify(ClientId to, ReplyKind kind);
  // Appends to `reply`, the newest, what sequence `id` consists of from `block_position` on.
  void AttachUpdate(Reply& reply, SequenceId id, uint64_t length_tokens, uint32_t block_position);

 private:
  Reply unsent_;  // Where an unwanted answer goes.
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_STATE_H_
