#include "memmgr/core/write_budget.h"

#include <algorithm>
#include <cstdint>

namespace kvpager {
namespace {

constexpr int64_t kHourNs = int64_t{3600} * 1'000'000'000;
constexpr int64_t kDayNs = 24 * kHourNs;
constexpr int64_t kSavedNsMax = kHourNs;
constexpr uint32_t kHalvings = 7;  // From the usual touches to none that is enough.

}  // namespace

WriteBudget::WriteBudget(uint32_t blocks_per_day)
    : cost_ns_(blocks_per_day == 0 ? 0 : std::max<int64_t>(1, kDayNs / blocks_per_day)),
      level_ns_(kSavedNsMax) {}

void WriteBudget::Advance(Instant now) {
  if (!limited()) return;
  const uint64_t passed_ns = std::min<uint64_t>(now.ns - advanced_to_.ns, 2 * kDayNs);
  level_ns_ = std::min(kSavedNsMax, level_ns_ + static_cast<int64_t>(passed_ns));
  advanced_to_ = now;
}

void WriteBudget::Charge() {
  if (limited()) level_ns_ = std::max(-kDayNs, level_ns_ - cost_ns_);
}

uint32_t WriteBudget::TouchesWanted(uint32_t usual) const {
  if (!limited()) return usual;
  for (uint32_t more = 0; more < kHalvings; ++more) {
    if (level_ns_ >= kSavedNsMax >> (more + 1)) return usual + more;
  }
  return kNeverWorthIt;
}

uint64_t WriteBudget::blocks_left() const {
  return limited() && level_ns_ > 0 ? static_cast<uint64_t>(level_ns_ / cost_ns_) : 0;
}

}  // namespace kvpager
