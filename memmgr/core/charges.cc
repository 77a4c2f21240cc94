#include "memmgr/core/charges.h"

#include <cstdint>

#include "memmgr/base/check.h"

namespace kvpager {

Charges::Charges(const Limits& limits)
    : quotas_(limits.quotas), frames_max_(limits.frames_max), rows_(limits.namespaces_max + 1) {
  KVP_CHECK_LE(quotas_.size(), kQuotasMax);
}

void Charges::Take(NamespaceId name, Tier tier, uint32_t frames) {
  row(name).used[TierIndex(tier)] += frames;
  class_used_[ClassOf(name)][TierIndex(tier)] += frames;
}

void Charges::Give(NamespaceId name, Tier tier, uint32_t frames) {
  KVP_CHECK_LE(frames, used(name, tier));
  row(name).used[TierIndex(tier)] -= frames;
  class_used_[ClassOf(name)][TierIndex(tier)] -= frames;
  NoteFreed(name);
}

const Quota& Charges::quota(NamespaceId name, Tier tier) const {
  const uint32_t quota_class = ClassOf(name);
  return quota_class == 0 ? no_quota_ : quotas_[quota_class - 1].tiers[TierIndex(tier)];
}

bool Charges::IsBounded(NamespaceId name, Tier tier) const {
  return quota(name, tier).max < frames_max_[TierIndex(tier)];
}

uint32_t Charges::Room(NamespaceId name, Tier tier, Reserve reserve) const {
  if (!IsBounded(name, tier)) return ~uint32_t{0};
  const uint32_t kept = tier == Tier::kHost && reserve == Reserve::kKeep ? 1 : 0;
  const uint32_t taken = used(name, tier) + kept;
  const uint32_t max = quota(name, tier).max;
  return taken < max ? max - taken : 0;
}

bool Charges::OpenHostFull(NamespaceId name) const {
  if (!IsBounded(name, Tier::kHost)) return false;
  return open_host_[ClassOf(name)] + 2 >= quota(name, Tier::kHost).max;
}

bool Charges::Spares(NamespaceId name, Tier tier, uint32_t frames) const {
  const uint32_t guaranteed = quota(name, tier).guaranteed;
  const uint32_t leaving = tier == Tier::kHbm ? leaving_[ClassOf(name)] : 0;
  return guaranteed == 0 || used(name, tier) >= guaranteed + leaving + frames;
}

ClassMask Charges::Sparing(Tier tier, uint32_t frames) const {
  ClassMask mask = kAllClasses;
  for (uint32_t i = 0; i < quotas_.size(); ++i) {
    if (!Spares(NamespaceId{i}, tier, frames)) mask &= ~MaskOf(i + 1);
  }
  return mask;
}

bool Charges::OthersSpare(NamespaceId name, Tier tier) const {
  const uint32_t own = ClassOf(name);
  for (uint32_t other = 0; other < classes(); ++other) {
    const uint32_t guaranteed =
        other == 0 ? 0 : quotas_[other - 1].tiers[TierIndex(tier)].guaranteed;
    if (other != own && class_used_[other][TierIndex(tier)] > guaranteed) return true;
  }
  return false;
}

}  // namespace kvpager
