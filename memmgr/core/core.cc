#include "memmgr/core/core.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memmgr/base/check.h"
#include "memmgr/core/background.h"
#include "memmgr/core/client_info.h"
#include "memmgr/core/collector.h"
#include "memmgr/core/credits.h"
#include "memmgr/core/nvme_loss.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/quota_stuck.h"
#include "memmgr/core/reconcile.h"
#include "memmgr/core/sequences.h"
#include "memmgr/core/state.h"
#include "memmgr/core/steps.h"
#include "memmgr/core/verify.h"

namespace kvpager {
namespace {

void BeginInput(CoreState& s, Instant now, Effects& effects) {
  KVP_CHECK(effects.empty());
  KVP_CHECK(now >= s.now);
  s.now = now;
  s.effects = &effects;
  s.blocks.set_effects(&effects);
  s.blocks.write_budget().Advance(now);
  s.budget = s.limits.pages_per_input;
  s.jobs_cut = false;
  ++s.inputs;
}

// Nothing moves and nothing is in flight: what still waits would wait for ever.
void GiveUp(CoreState& s) {
  if (GiveUpForQuota(s)) {
    s.progress = true;
    return;
  }
  if (s.AwaitsFrames() || s.now < s.nvme_write_retry) return;
  if (!GiveUpIfStuck(s)) GiveUpBackground(s);
}

// A spent budget is worth another turn only if this one got somewhere, or was interrupted: what was
// looked at in vain waits for an operation.
bool GotSomewhere(const CoreState& s, bool progress) {
  if (progress || !s.effects->empty() || s.job_count > 0) return true;
  return s.collecting != kNoSlot && !s.steps.step(s.collecting).claimed;
}

// R5: everything that can happen now happens, within the budget.
void RunToFixedPoint(CoreState& s) {
  bool any_progress = false;
  for (;;) {
    s.progress = false;
    SweepLostNvme(s);
    RunJobs(s);
    RunDeferred(s);
    Collect(s);
    RunBackground(s);
    MaintainStocks(s);
    GrantCredits(s);
    any_progress |= s.progress;
    if (!s.EffectsHaveRoom()) break;
    if (s.budget == 0 && GotSomewhere(s, any_progress)) break;
    if (!s.progress && s.jobs_cut) break;
    if (!s.progress) {
      // With nothing in flight nothing would wake it: it is looked at whatever the budget says.
      if (!s.AwaitsFrames()) s.budget = s.limits.pages_per_input;
      GiveUp(s);
    }
    if (!s.progress) break;
  }
  const bool cut_short = s.budget == 0 || s.jobs_cut || !s.EffectsHaveRoom();
  s.unfinished = s.progress || (cut_short && GotSomewhere(s, any_progress));
}

struct Dispatch {
  CoreState& s;
  const Command& command;

  void operator()(const AttachCommand& body) const { Attach(s, command, body); }
  void operator()(const GoneCommand&) const { Gone(s, command); }
  void operator()(const RevokeCommand&) const { Revoke(s, command); }
  void operator()(const OpenCommand& body) const { OpenSequence(s, command, body); }
  void operator()(const ExtendCommand& body) const { ExtendSequence(s, command, body); }
  void operator()(const ForkCommand&) const { ChangeSequence(s, command); }
  void operator()(const TruncateCommand&) const { ChangeSequence(s, command); }
  void operator()(const NameCommand&) const { ChangeSequence(s, command); }
  void operator()(const SuspendCommand&) const { ChangeSequence(s, command); }
  void operator()(const ResumeCommand&) const { ChangeSequence(s, command); }
  void operator()(const CloseCommand&) const { ChangeSequence(s, command); }
  void operator()(const AppendedCommand& body) const { NoteAppended(s, command, body); }
  void operator()(const UsedCommand& body) const { NoteUsed(s, command, body); }
  void operator()(const StepBeginCommand& body) const { BeginStep(s, command, body); }
  void operator()(const StepEndCommand& body) const { EndStep(s, command, body); }
  void operator()(const StepCancelCommand& body) const { CancelStep(s, command, body); }
  void operator()(const PrefetchCommand& body) const { StartPrefetch(s, command, body); }
  void operator()(const EvictCommand& body) const { StartEviction(s, command, body); }
};

// Administrators have no client, and may only move pages.
bool MayCommand(const CoreState& s, const Command& command) {
  if (command.client.is_none()) {
    return std::holds_alternative<PrefetchCommand>(command.body) ||
           std::holds_alternative<EvictCommand>(command.body);
  }
  if (std::holds_alternative<AttachCommand>(command.body)) return true;
  if (command.client.value >= s.clients.size()) return false;
  const Client& client = s.clients[command.client.value];
  if (std::holds_alternative<GoneCommand>(command.body)) return client.attached;
  return client.attached && !client.gone;
}

}  // namespace

Core::Core(std::unique_ptr<CoreState> state) : state_(std::move(state)) {}
Core::~Core() = default;

absl::StatusOr<std::unique_ptr<Core>> Core::Create(const Limits& limits) {
  if (limits.num_groups == 0 || limits.page_tokens == 0 ||
      limits.frames_max[TierIndex(Tier::kHbm)] == 0 ||
      limits.frames_max[TierIndex(Tier::kHost)] < 2 || limits.lanes_per_client != kLanesMax) {
    return absl::InvalidArgumentError("the limits contradict each other; use DeriveLimits");
  }
  return std::unique_ptr<Core>(new Core(std::make_unique<CoreState>(limits)));
}

Effects Core::MakeEffects() const {
  const Limits& limits = state_->limits;
  size_t operations = 0;
  for (uint32_t in_flight : limits.in_flight_max) operations += in_flight;
  Effects effects;
  effects.page_table_writes.reserve(8 * size_t{limits.pages_per_input});
  effects.credit_writes.reserve(5 * size_t{limits.credits_max});  // GrantCredits bounds them.
  effects.replies.reserve(limits.steps_max + limits.deferred_max + 256);
  effects.updates.reserve(4 * size_t{limits.step_entries_per_step_max});
  effects.runs.reserve(4 * size_t{limits.pages_per_input} + limits.blocks_max);
  effects.copies.reserve(operations);
  effects.catalogue_writes.reserve(4 * size_t{limits.pages_per_input});
  return effects;
}

bool Core::Restore(const RestoredBlock& found) {
  CoreState& s = *state_;
  KVP_CHECK_EQ(s.inputs, 0u);
  Effects unused;
  s.blocks.set_effects(&unused);
  return RestoreBlock(s, found);
}

void Core::HoldUnread() {
  KVP_CHECK_EQ(state_->inputs, 0u);
  state_->blocks.HoldFreeRuns();
}

RunFinding Core::Reconcile(Instant now, const FoundRun& run, bool last, Effects& effects) {
  BeginInput(*state_, now, effects);
  const RunFinding finding = ReconcileRun(*state_, run, last);
  RunToFixedPoint(*state_);
  return finding;
}

void Core::Step(Instant now, const Command& command, Effects& effects) {
  CoreState& s = *state_;
  BeginInput(s, now, effects);
  if (MayCommand(s, command)) {
    std::visit(Dispatch{s, command}, command.body);
  } else {
    s.Answer(command.client, command.request, absl::StatusCode::kFailedPrecondition,
             "this client is not attached");
  }
  RunToFixedPoint(s);
}

void Core::Complete(Instant now, const Completion& completion, Effects& effects) {
  CoreState& s = *state_;
  BeginInput(s, now, effects);
  const Operation done = s.operations.Finish(completion.op);
  if (done.durable) {
    FinishDurableWrite(s, done, completion.outcome);
  } else {
    if (completion.outcome != Outcome::kOk) NoteFailure(s, done.page);
    FinishCopy(s, done, completion.outcome);
  }
  RunToFixedPoint(s);
}

void Core::NoteLanes(ClientId client, const LaneCounters& lanes) {
  state_->lane_users[client.value].lanes = lanes;
}

void Core::PassLimbo(Instant now, Effects& effects) {
  CoreState& s = *state_;
  BeginInput(s, now, effects);
  Limbo& limbo = s.blocks.limbo();
  limbo.Stamp(s.lane_users, now);
  limbo.Release(s.lane_users, [&s](FrameIndex frame, NamespaceId name_space, ClientId writer) {
    s.blocks.LeaveLimbo(frame, name_space, writer);
  });
  RunToFixedPoint(s);
}

void Core::AnswerCredit(Instant now, SequenceId sequence, bool taken, Effects& effects) {
  CoreState& s = *state_;
  BeginInput(s, now, effects);
  kvpager::AnswerCredit(s, sequence, taken);
  RunToFixedPoint(s);
}

void Core::LoseNvme(Instant now, Effects& effects) {
  BeginInput(*state_, now, effects);
  kvpager::LoseNvme(*state_);
  RunToFixedPoint(*state_);
}

void Core::Tick(Instant now, Effects& effects) {
  BeginInput(*state_, now, effects);
  RunToFixedPoint(*state_);
}

const WriteBudget& Core::write_budget() const { return state_->blocks.write_budget(); }
bool Core::nvme_lost() const { return state_->blocks.nvme_lost(); }
bool Core::has_unstamped_frames() const { return state_->blocks.limbo().unstamped(); }
uint32_t Core::limbo_frames() const { return state_->blocks.limbo().count(); }
uint32_t Core::quarantined_frames() const { return state_->blocks.quarantine().count(); }
bool Core::wants_lanes() const {
  return state_->blocks.limbo().count() > 0 || state_->deferred_first != kNoSlot;
}
bool Core::wants_lanes_soon() const {
  return state_->blocks.limbo().count() > 0 && state_->collecting != kNoSlot;
}

SequenceId Core::sequence_in_slot(uint32_t slot) const {
  const SequenceTable& sequences = state_->sequences;
  if (slot >= sequences.slots() || sequences.at_slot(slot).phase != SequencePhase::kOpen) return {};
  return sequences.id_of(slot);
}

bool Core::has_work() const { return state_->unfinished; }
Instant Core::next_deadline() const { return NextDeadline(*state_); }
const Limits& Core::limits() const { return state_->limits; }
const CoreMetrics& Core::metrics() const { return state_->metrics; }
uint32_t Core::sequences_open() const { return state_->sequences.open_count(); }
uint32_t Core::steps_open() const { return state_->steps.open_count(); }
uint32_t Core::blocks_known() const {
  return state_->limits.blocks_max - state_->blocks.rows_free();
}
uint32_t Core::operations_in_flight() const { return state_->operations.in_flight_total(); }
void Core::Verify() const { VerifyAll(*state_); }

TierInfo Core::tier_info(Tier tier) const {
  const BlockTable& blocks = state_->blocks;
  TierInfo info;
  info.frames = state_->limits.frames_max[TierIndex(tier)];
  info.blocks = blocks.blocks_in(tier);
  info.pages_pinned = blocks.pinned_pages(tier);
  if (tier == Tier::kNvme) {
    info.frames_free = uint64_t{blocks.runs_free()} * state_->limits.num_groups;
    return info;
  }
  info.frames_free = blocks.frames(tier).free_count();
  info.pages_clean = blocks.clean_pages(tier);
  return info;
}

StepsInfo Core::steps_of(ClientId client) const { return StepsOf(*state_, client); }
HoldingsInfo Core::holdings_of(ClientId client) const { return HoldingsOf(*state_, client); }

uint32_t Core::frames_charged(NamespaceId name_space, Tier tier) const {
  return state_->blocks.charges().used(name_space, tier);
}

SequenceInfo Core::sequence_info(uint32_t slot_first) const {
  const CoreState& s = *state_;
  SequenceInfo info;
  uint32_t slot = slot_first;
  for (; slot < s.sequences.slots(); ++slot) {
    const Sequence& row = s.sequences.at_slot(slot);
    if (row.phase == SequencePhase::kOpen && !row.client.is_none()) break;
  }
  if (slot >= s.sequences.slots()) return info;
  const Sequence& sequence = s.sequences.at_slot(slot);
  info.sequence = s.sequences.id_of(slot);
  info.client = sequence.client;
  info.name_space = sequence.name_space;
  info.length_tokens = sequence.length_tokens;
  info.blocks = sequence.blocks;
  info.steps = sequence.steps;
  info.suspended = sequence.suspended;
  for (SequenceTable::Walk walk(s.sequences, sequence, 0); walk.valid(); walk.Next()) {
    for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
      const Page& page = s.blocks.page(s.blocks.page_of(walk.block(), group));
      for (size_t tier = 0; tier < kTierCount; ++tier)
        info.pages[tier] += page.copies[tier].valid();
    }
  }
  return info;
}

}  // namespace kvpager
