#include "tests/sim/fake_catalogue.h"

#include <algorithm>

#include "tests/sim/failure.h"

namespace kvpager::sim {
namespace {

constexpr size_t kQueueMax = 16;
constexpr uint64_t kWriteNs = 20'000;
constexpr uint64_t kDurableNs = 200'000;

}  // namespace

FakeCatalogue::FakeCatalogue(const SimOptions& options, testing::Random& random)
    : faults_(options.faults), random_(random) {}

void FakeCatalogue::Submit(const CatalogueWrite& write, FakeTiers& tiers, uint64_t now_ns) {
  if (write.key.is_none()) Fail("the catalogue is asked to keep a block without a name");
  const bool durable = !write.op.is_none();
  if (!durable && (queue_.size() >= kQueueMax || random_.Chance(faults_.catalogue_full))) {
    tiers.set_may_lose_data();  // After a restart the catalogue will disagree with the headers.
    return;
  }
  if (durable) tiers.Flush();
  const uint64_t due_ns = now_ns + random_.Below(durable ? kDurableNs : kWriteNs);
  const uint64_t after_ns = queue_.empty() ? 0 : queue_.back().due_ns;
  queue_.push_back({write, std::max(due_ns, after_ns)});
}

uint64_t FakeCatalogue::next_due_ns() const {
  return queue_.empty() ? ~uint64_t{0} : queue_.front().due_ns;
}

bool FakeCatalogue::FinishNext(Completion& completion) {
  const CatalogueWrite write = queue_.front().write;
  queue_.pop_front();
  const bool durable = !write.op.is_none();
  completion = Completion{};
  completion.op = write.op;
  if (durable && random_.Chance(faults_.catalogue_failed)) {
    completion.outcome = Outcome::kFailed;
    return true;
  }
  Apply(write);
  return durable;
}

void FakeCatalogue::Apply(const CatalogueWrite& write) {
  const MapKey key{write.key.words[0], write.key.words[1]};
  if (write.frame_first.is_none()) {
    entries_.erase(key);
    return;
  }
  RestoredBlock& entry = entries_[key];
  const bool same_run = entry.stamp == write.stamp;
  entry.durable = !write.op.is_none() || (same_run && entry.durable);
  entry.key = write.key;
  entry.parent_key = write.parent_key;
  entry.frame_first = write.frame_first;
  entry.stamp = write.stamp;
  entry.last_use = write.last_use;
}

void FakeCatalogue::Crash() {
  // The log of the map is written in order: a prefix of what is queued may have landed.
  const size_t landed = queue_.empty() ? 0 : random_.Below(queue_.size() + 1);
  for (size_t i = 0; i < landed; ++i) Apply(queue_[i].write);
  queue_.clear();
}

void FakeCatalogue::Stop() {
  for (const Queued& queued : queue_) Apply(queued.write);
  queue_.clear();
}

std::vector<RestoredBlock> FakeCatalogue::Entries() const {
  std::vector<RestoredBlock> blocks;
  for (const auto& [key, block] : entries_) blocks.push_back(block);
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
  return blocks;
}

void FakeCatalogue::MarkDurable(std::vector<RestoredBlock>& blocks) const {
  for (RestoredBlock& block : blocks) {
    const auto entry = entries_.find({block.key.words[0], block.key.words[1]});
    if (entry == entries_.end() || entry->second.stamp != block.stamp) continue;
    block.durable = entry->second.durable;
    block.last_use = entry->second.last_use;
  }
}

}  // namespace kvpager::sim
