#include "memmgr/daemon/pool_restore.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

namespace kvpager {
namespace {

void SortByLastUse(std::vector<RestoredBlock>& blocks) {
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
}

}  // namespace

RestorePlan TrustCatalogue(absl::Span<const CatalogueEntry> entries) {
  RestorePlan plan;
  plan.blocks.reserve(entries.size());
  for (const CatalogueEntry& entry : entries) {
    plan.blocks.push_back({entry.key, entry.parent_key, entry.frame_first, entry.stamp,
                           entry.last_use, entry.durable});
  }
  SortByLastUse(plan.blocks);
  return plan;
}

bool IsNewer(const Stamp& a, const Stamp& b, uint64_t incarnation_newest) {
  const auto age = [&](const Stamp& stamp) {
    return std::tuple(stamp.incarnation == incarnation_newest, stamp.counter, stamp.incarnation);
  };
  return age(a) > age(b);
}

RestorePlan TrustHints(absl::Span<const CatalogueEntry> entries, uint64_t incarnation_newest) {
  std::vector<CatalogueEntry> sorted(entries.begin(), entries.end());
  std::sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) {
    if (a.frame_first != b.frame_first) return a.frame_first.value < b.frame_first.value;
    return IsNewer(a.stamp, b.stamp, incarnation_newest);
  });
  RestorePlan plan;
  plan.blocks.reserve(sorted.size());
  for (const CatalogueEntry& entry : sorted) {
    if (plan.blocks.empty() || plan.blocks.back().frame_first != entry.frame_first) {
      plan.blocks.push_back({entry.key, entry.parent_key, entry.frame_first, entry.stamp,
                             entry.last_use, entry.durable});
      continue;
    }
    plan.durable_lost += entry.durable ? 1 : 0;
    plan.repairs.push_back({.op = {},
                            .key = entry.key,
                            .parent_key = {},
                            .frame_first = {},
                            .stamp = entry.stamp,
                            .last_use = 0});
  }
  SortByLastUse(plan.blocks);
  return plan;
}

}  // namespace kvpager
