// The end of a world: faults have stopped, so everything that was asked for must come to its end.

#include <algorithm>
#include <cstdio>
#include <set>

#include "absl/strings/str_cat.h"
#include "memmgr/base/units.h"
#include "tests/sim/failure.h"
#include "tests/sim/world.h"

namespace kvpager::sim {
namespace {

constexpr uint64_t kInputsMax = 200'000;
constexpr uint64_t kPatienceNs = 60'000'000'000;  // Of virtual time: longer than any backing off.

}  // namespace

// Frames of the tier that the namespace can have while others keep what is guaranteed to them.
uint64_t World::FramesFor(NamespaceId name, Tier tier) const {
  uint64_t frames = limits_.frames_max[TierIndex(tier)];
  uint64_t max = frames;
  for (uint32_t i = 0; i < limits_.quotas.size(); ++i) {
    const Quota& quota = limits_.quotas[i].tiers[TierIndex(tier)];
    if (NamespaceId{i} == name) {
      max = std::min<uint64_t>(max, quota.max);
    } else {
      frames -= quota.guaranteed;
    }
  }
  return std::min(frames, max);
}

// Lets everything that can happen happen. True if nobody waits for anything any more.
bool World::Settle() {
  const uint64_t inputs_end = inputs_ + kInputsMax;
  const uint64_t give_up_ns = now_ns_ + kPatienceNs;
  while (true) {
    if (inputs_ > inputs_end) Fail(absl::StrCat("no end of inputs\n", Describe()));
    environment_->now_ns = now_ns_;
    for (auto& engine : engines_) {
      if (engine->alive()) engine->EndAllReady();
    }
    if (DeliverOne() || FinishOne() || FeedHeaders()) continue;
    if (core_->has_work()) {
      FeedTick();
      continue;
    }
    if (core_->wants_lanes() && FeedLanes()) {
      Execute();
      continue;
    }
    uint64_t next_ns = NextDue();
    for (auto& engine : engines_) next_ns = std::min(next_ns, engine->next_due_ns());
    const bool waits = next_ns == ~uint64_t{0};
    next_ns = std::min(next_ns, core_->next_deadline().ns);
    if (next_ns > give_up_ns) break;
    now_ns_ = std::max(now_ns_ + 1, next_ns);
    environment_->now_ns = now_ns_;
    if (waits) FeedTick();
  }
  return std::all_of(engines_.begin(), engines_.end(),
                     [](const auto& engine) { return !engine->alive() || engine->quiet(); });
}

// A step may be refused for want of room only if what may not be lost fills it, nearly.
void World::CheckRoom(const RoomRefusal& refusal) const {
  const uint64_t groups = limits_.num_groups;
  const uint64_t hbm = FramesFor(refusal.name_space, Tier::kHbm);
  const uint64_t host = FramesFor(refusal.name_space, Tier::kHost);
  const uint64_t memory = hbm + host;
  std::set<uint32_t> live;
  std::set<uint32_t> open;  // These cannot go to NVMe.
  size_t sequences = 0;
  for (const auto& engine : engines_) {
    if (engine->haunts()) return;         // It keeps frames from everybody.
    if (!engine->outbox_empty()) return;  // A close may be on its way.
    if (engine->message_free()) return;   // Its open tails stay where they are.
    // With quotas, what another namespace has open may be kept from going down by its own maximum.
    const bool other = engine->name_space() != refusal.name_space;
    if (!limits_.quotas.empty() && other && !engine->sequences().empty()) return;
    sequences += engine->sequences().size();
    for (const auto& [id, sequence] : engine->sequences()) {
      const uint64_t full = sequence.accepted_tokens / limits_.page_tokens;
      for (uint64_t i = 0; i < sequence.blocks.size(); ++i) {
        live.insert(sequence.blocks[i].block);
        if (i >= full) open.insert(sequence.blocks[i].block);
      }
    }
  }
  // A close that nobody waits for may wait for the older steps of its lane.
  if (core_->sequences_open() > sequences) return;
  const uint64_t runs =
      core_->nvme_lost() ? 0 : FramesFor(refusal.name_space, Tier::kNvme) / groups;
  const uint64_t runs_kept =
      limits_.durable_blocks_max + 2 + core_->metrics().retired_frames / groups;
  const uint64_t blocks_nvme = runs > runs_kept ? runs - runs_kept : 0;
  if ((refusal.blocks_needed + 1) * groups > hbm) return;
  // What a SPLIT step has pinned in host memory cannot make way for what must leave HBM.
  if (refusal.split && refusal.blocks_needed * groups + 2 > host) return;
  if ((open.size() + refusal.blocks_needed + 3) * groups > memory) return;
  // Open tails that fill host memory cannot go on to NVMe, and nothing brings them up again.
  if (open.size() * groups + 2 > host) return;
  if ((live.size() + refusal.blocks_new + 2) * groups > memory + blocks_nvme * groups) return;
  Fail(absl::StrCat("a step that needs ", refusal.blocks_needed, " blocks, ", refusal.blocks_new,
                    " of them new, is refused with room to spare: ", live.size(),
                    " blocks are live, ", open.size(), " open\n", Describe()));
}

void World::FinishEngines() {
  while (true) {
    for (auto& engine : engines_) {
      if (engine->alive()) engine->CloseAll();
    }
    if (!Settle()) Fail(absl::StrCat("stalled while closing\n", Describe()));
    if (std::all_of(engines_.begin(), engines_.end(),
                    [](const auto& engine) { return engine->sequences().empty(); })) {
      return;
    }
  }
}

void World::CheckNothingLeft() {
  if (core_->sequences_open() != 0 || core_->steps_open() != 0 ||
      core_->operations_in_flight() != 0 || watch_->in_flight() != 0) {
    Fail(absl::StrCat("left behind\n", Describe()));
  }
  if (core_->limbo_frames() + core_->quarantined_frames() != 0) {
    Fail(absl::StrCat("frames stay in limbo or in quarantine\n", Describe()));
  }
  if (core_->tier_info(Tier::kHbm).pages_pinned + core_->tier_info(Tier::kHost).pages_pinned != 0) {
    Fail(absl::StrCat("pages stay pinned\n", Describe()));
  }
}

// With nothing in use a step gets all of HBM that its namespace may have.
void World::FillMemory() {
  Engine& engine = *engines_[0];
  const uint64_t blocks = FramesFor(engine.name_space(), Tier::kHbm) / limits_.num_groups;
  if (blocks == 0) return;  // All of it is guaranteed to others.
  const uint64_t ready_before = tally_.steps_ready;
  engine.OpenText({});
  if (!Settle() || engine.sequences().size() != 1) {
    Fail(absl::StrCat("an empty sequence cannot be opened\n", Describe()));
  }
  engine.StepOverAll(static_cast<uint32_t>(blocks * limits_.page_tokens));
  if (!Settle() || tally_.steps_ready != ready_before + 1) {
    Fail(absl::StrCat("with nothing in use a step does not get all of HBM\n", Describe()));
  }
  FinishEngines();
}

// What was acknowledged as durable is found after a restart, with its content.
void World::CheckPromises() {
  if (promises_.all().empty()) return;
  Restart();
  size_t checked = 0;
  for (auto promise = promises_.all().rbegin(); promise != promises_.all().rend() && checked < 4;
       ++promise) {
    for (auto& engine : engines_) {
      if (engine->name_space() != promise->owner) continue;
      engine->OpenText(promise->tokens);
      if (!Settle()) Fail(absl::StrCat("a durable prefix cannot be opened\n", Describe()));
      const uint64_t frames_needed = promise->keys.size() * limits_.num_groups;
      if (!engine->sequences().empty() && !engine->sequences().begin()->second.tokens.empty() &&
          frames_needed <= FramesFor(engine->name_space(), Tier::kHbm)) {
        const uint64_t ready_before = tally_.steps_ready;
        engine->StepOverAll(0);
        if (!Settle()) Fail(absl::StrCat("a durable prefix cannot be read\n", Describe()));
        if (tally_.steps_ready == ready_before && !tiers_->may_miss_cached()) {
          Fail(absl::StrCat("a durable prefix is lost\n", Describe()));
        }
      }
      FinishEngines();
      ++checked;
      break;
    }
  }
}

void World::Drain() {
  draining_ = true;
  tiers_->StopFaults();
  catalogue_.StopFaults();
  for (size_t i = 0; i < engines_.size(); ++i) {
    if (!engines_[i]->alive() && engines_[i]->released()) Attach(i);
  }
  // Also while revoked engines keep frames from them.
  if (!Settle()) Fail(absl::StrCat("somebody waits for ever\n", Describe()));
  const bool nobody_reads = std::none_of(engines_.begin(), engines_.end(),
                                         [](const auto& e) { return e->has_ready_step(); });
  if (nobody_reads && core_->limbo_frames() != 0) {
    Fail(absl::StrCat("frames wait for a revoked engine\n", Describe()));
  }
  for (size_t i = 0; i < engines_.size(); ++i) {
    if (engines_[i]->haunts()) EndRevoked(i);
  }
  if (!Settle()) Fail(absl::StrCat("a gone engine is waited for\n", Describe()));
  for (size_t i = 0; i < engines_.size(); ++i) {
    if (engines_[i]->alive()) continue;
    if (!engines_[i]->released()) Fail(absl::StrCat("a gone engine is not released\n", Describe()));
    Attach(i);
  }
  FinishEngines();
  CheckNothingLeft();
  FillMemory();
  CheckPromises();
  CheckNothingLeft();
}

std::string World::Describe() const {
  std::string text;
  for (const auto& engine : engines_) absl::StrAppend(&text, engine->Describe());
  for (Tier tier : {Tier::kHbm, Tier::kHost, Tier::kNvme}) {
    const TierInfo info = core_->tier_info(tier);
    absl::StrAppend(&text, "tier ", static_cast<int>(tier), ": frames=", info.frames,
                    " free=", info.frames_free, " clean=", info.pages_clean,
                    " pinned=", info.pages_pinned, " blocks=", info.blocks, "\n");
  }
  absl::StrAppend(&text, "core: sequences=", core_->sequences_open(),
                  " steps=", core_->steps_open(), " operations=", core_->operations_in_flight(),
                  " inputs=", inputs_);
  return text;
}

}  // namespace kvpager::sim
