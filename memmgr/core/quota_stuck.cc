#include "memmgr/core/quota_stuck.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "memmgr/core/background.h"
#include "memmgr/core/collector.h"
#include "memmgr/core/durable.h"
#include "memmgr/core/room.h"
#include "memmgr/core/step_pages.h"
#include "memmgr/core/steps.h"

namespace kvpager {
namespace {

// What the namespace has will come free by itself.
bool AwaitsOwn(const CoreState& s, uint32_t quota_class) {
  return s.operations.in_flight_of(quota_class) > 0 || s.credits.asked() > 0 ||
         s.blocks.limbo().coming_of(quota_class, s.now) > 0;
}

// What is short now is so because others use the way down, and they will be done.
bool ChannelsBusy(const CoreState& s) {
  return !s.operations.HasRoom(Channel::kHbmToHost) ||
         !s.operations.HasRoom(Channel::kHostToNvme) || s.now < s.nvme_write_retry;
}

// Nobody but the namespace itself can give it a frame of the tier.
bool OnlyOwn(const CoreState& s, NamespaceId owner, Tier tier) {
  const Charges& charges = s.blocks.charges();
  if (charges.Room(owner, tier, Reserve::kKeep) == 0) return true;
  const uint32_t kept = tier == Tier::kHost ? kHostReserve : 0;
  return s.blocks.frames(tier).free_count() <= kept && !charges.OthersSpare(owner, tier);
}

bool ClassRuns(const CoreState& s, uint32_t quota_class) {
  for (uint32_t i = 0; i < s.steps.slots(); ++i) {
    const Step& step = s.steps.step(i);
    if (step.phase != StepPhase::kReady && step.phase != StepPhase::kEnding) continue;
    const NamespaceId other = s.clients[step.client.value].name_space;
    if (s.blocks.charges().ClassOf(other) == quota_class) return true;
  }
  return false;
}

// Pages that the step reads or writes: those of a block that two entries share once.
uint64_t DistinctPages(CoreState& s, const Step& step) {
  const uint64_t pass = ++s.passes;
  uint64_t pages = 0;
  BlockIndex counting;
  for (StepPages at(s, step, StepPages::Start(step)); at.valid(); at.Next()) {
    Block& block = s.blocks.block(at.block());
    if (block.mark == pass && at.block() != counting) continue;
    block.mark = pass;
    counting = at.block();
    ++pages;
  }
  return pages;
}

QuotaRefusal Explain(CoreState& s, const Step& step, NamespaceId owner) {
  const Charges& charges = s.blocks.charges();
  const Tier tier = step.short_of_hbm && OnlyOwn(s, owner, Tier::kHbm) ? Tier::kHbm : Tier::kHost;
  const bool at_maximum = charges.Room(owner, tier, Reserve::kKeep) == 0;
  QuotaRefusal refusal{.limit = at_maximum ? QuotaLimit::kMaximum : QuotaLimit::kGuarantees,
                       .tier = tier,
                       .quota_pages = charges.used(owner, tier),
                       .needed_pages = DistinctPages(s, step)};
  if (at_maximum) refusal.quota_pages = charges.quota(owner, tier).max;
  return refusal;
}

bool CollectingIsStuck(CoreState& s, const Step& step, NamespaceId owner) {
  if (!step.claimed || !step.wants_room || s.job_count > 0 || ChannelsBusy(s)) return false;
  if (AwaitsOwn(s, s.blocks.charges().ClassOf(owner))) return false;
  return (step.short_of_hbm && OnlyOwn(s, owner, Tier::kHbm)) ||
         (step.short_of_host && OnlyOwn(s, owner, Tier::kHost));
}

void Park(CoreState& s, Step& step, NamespaceId owner) {
  const Charges& charges = s.blocks.charges();
  step.parked = step.was_parked = true;
  step.parked_on_all = charges.Room(owner, Tier::kHbm) > 0;
  step.parked_input = s.inputs;
  step.parked_freed = step.parked_on_all ? charges.freed_total() : charges.freed(owner);
}

bool GiveUpCollecting(CoreState& s) {
  if (s.collecting == kNoSlot) return false;
  const uint32_t slot = s.collecting;
  Step& step = s.steps.step(slot);
  const NamespaceId owner = s.client(step.client).name_space;
  if (!CollectingIsStuck(s, step, owner)) return false;
  if (TryFarther(s, slot)) return true;
  const uint32_t quota_class = s.blocks.charges().ClassOf(owner);
  const bool runs = ClassRuns(s, quota_class) || s.blocks.limbo().count_of(quota_class) > 0;
  const QuotaRefusal refusal = runs ? QuotaRefusal{} : Explain(s, step, owner);
  AbandonCollecting(s, slot);
  if (runs) {
    Park(s, step, owner);
  } else {
    FailForQuota(s, slot, refusal);
  }
  return true;
}

}  // namespace

void FailForQuota(CoreState& s, uint32_t slot, const QuotaRefusal& refusal) {
  FailStep(
      s, slot, absl::StatusCode::kResourceExhausted,
      refusal.limit == QuotaLimit::kMaximum
          ? "the step does not fit the namespace's maximum; read fewer blocks at a time, close "
            "sequences, or raise the maximum"
          : "the step does not fit beside what is guaranteed to other namespaces; read fewer "
            "blocks at a time, close sequences, or raise this namespace's guarantee",
      refusal);
}

bool IsParked(const CoreState& s, const Step& step) {
  if (!step.parked) return false;
  if (step.parked_input == s.inputs) return true;  // Else two could wake each other for ever.
  const Charges& charges = s.blocks.charges();
  const NamespaceId owner = s.clients[step.client.value].name_space;
  return step.parked_freed == (step.parked_on_all ? charges.freed_total() : charges.freed(owner));
}

bool StuckBelow(const CoreState& s, NamespaceId owner) {
  const Charges& charges = s.blocks.charges();
  const uint32_t quota_class = charges.ClassOf(owner);
  if (quota_class == 0 || AwaitsOwn(s, quota_class) || ChannelsBusy(s)) return false;
  return charges.Room(owner, Tier::kHost, Reserve::kKeep) == 0 ||
         charges.Room(owner, Tier::kNvme) < s.limits.num_groups;
}

bool GiveUpForQuota(CoreState& s) {
  if (!s.blocks.charges().any_quota() || s.budget == 0 || !s.EffectsHaveRoom()) return false;
  return GiveUpCollecting(s) || GiveUpStuckBelow(s);
}

}  // namespace kvpager
