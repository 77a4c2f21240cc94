#include "memmgr/daemon/pool_restore.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace kvpager {
namespace {

using KeyWords = std::pair<uint64_t, uint64_t>;

KeyWords WordsOf(const BlockKey& key) { return {key.words[0], key.words[1]}; }

void SortByLastUse(std::vector<RestoredBlock>& blocks) {
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
}

CatalogueWrite WriteOf(const RestoredBlock& block) {
  return {.op = {},
          .key = block.key,
          .parent_key = block.parent_key,
          .frame_first = block.frame_first,
          .stamp = block.stamp,
          .last_use = block.last_use};
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

RestorePlan TrustHeaders(absl::Span<const CatalogueEntry> entries,
                         absl::Span<const ScannedBlock> scanned) {
  std::map<KeyWords, const CatalogueEntry*> stale;  // By key; agreed ones are taken out.
  uint64_t last_use_max = 0;
  for (const CatalogueEntry& entry : entries) {
    stale[WordsOf(entry.key)] = &entry;
    last_use_max = std::max(last_use_max, entry.last_use);
  }
  RestorePlan plan;
  plan.blocks.reserve(scanned.size());
  for (const ScannedBlock& found : scanned) {
    RestoredBlock block{found.key, found.parent_key, found.frame_first, found.stamp, 0, false};
    const auto entry = stale.find(WordsOf(found.key));
    if (entry != stale.end() && entry->second->stamp == found.stamp &&
        entry->second->frame_first == found.frame_first) {
      block.last_use = entry->second->last_use;
      block.durable = entry->second->durable;
    } else {
      block.last_use = ++last_use_max;
      plan.repairs.push_back(WriteOf(block));
    }
    if (entry != stale.end()) stale.erase(entry);
    plan.blocks.push_back(block);
  }
  for (const auto& [words, entry] : stale) {
    plan.durable_lost += entry->durable ? 1 : 0;
    plan.repairs.push_back({.op = {},
                            .key = entry->key,
                            .parent_key = {},
                            .frame_first = {},
                            .stamp = entry->stamp,
                            .last_use = 0});
  }
  SortByLastUse(plan.blocks);
  return plan;
}

}  // namespace kvpager
