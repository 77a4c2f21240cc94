#include "memmgr/core/limbo.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "memmgr/base/check.h"

namespace kvpager {

Limbo::Limbo(uint32_t frames_max, uint32_t clients_max, uint32_t quotas)
    : rows_(frames_max), quotas_(quotas), class_counts_(quotas + 1, 0) {
  for (Batch& batch : batches_) {
    batch.stamps.resize(clients_max);
    batch.class_counts.resize(quotas + 1, 0);
  }
}

void Limbo::Add(FrameIndex frame, const LimboEntry& entry) {
  KVP_CHECK_EQ(rows_[frame.value].batch, kNowhere);
  rows_[frame.value].entry = entry;
  Append(kUnstamped, frame.value);
  ++count_;
  ++class_counts_[QuotaClassOf(entry.name_space, quotas_)];
}

bool Limbo::Holds(FrameIndex frame, PageIndex page, uint32_t row_version,
                  NamespaceId name_space) const {
  const Row& row = rows_[frame.value];
  return row.batch != kNowhere && row.entry.page == page && row.entry.row_version == row_version &&
         row.entry.name_space == name_space;
}

void Limbo::Remove(FrameIndex frame) {
  KVP_CHECK(rows_[frame.value].batch != kNowhere);
  TakeOut(frame.value);
  DropEmptyBatches();
}

void Limbo::Append(uint32_t batch, uint32_t frame) {
  Chain& chain = ChainOf(batch);
  Row& row = rows_[frame];
  row.batch = batch;
  row.next = kNone;
  row.previous = chain.last;
  (chain.last == kNone ? chain.first : rows_[chain.last].next) = frame;
  chain.last = frame;
}

void Limbo::Unlink(uint32_t frame) {
  Row& row = rows_[frame];
  Chain& chain = ChainOf(row.batch);
  (row.previous == kNone ? chain.first : rows_[row.previous].next) = row.next;
  (row.next == kNone ? chain.last : rows_[row.next].previous) = row.previous;
  row.batch = kNowhere;
}

void Limbo::TakeOut(uint32_t frame) {
  const uint32_t batch = rows_[frame].batch;
  const uint32_t quota_class = QuotaClassOf(rows_[frame].entry.name_space, quotas_);
  Unlink(frame);
  --count_;
  --class_counts_[quota_class];
  if (batch == kUnstamped) return;
  --batches_[batch].count;
  --batches_[batch].class_counts[quota_class];
}

void Limbo::DropEmptyBatches() {
  while (batch_count_ > 0 && batches_[batch_first_].frames.first == kNone) {
    batch_first_ = (batch_first_ + 1) % kBatchesMax;
    --batch_count_;
  }
}

void Limbo::Stamp(const std::vector<LaneUser>& users, Instant now) {
  if (!unstamped()) return;
  // Without a free batch the newest takes these frames too; a later stamp is no harm to its own.
  if (batch_count_ < kBatchesMax) ++batch_count_;
  const uint32_t newest = (batch_first_ + batch_count_ - 1) % kBatchesMax;
  Batch& batch = batches_[newest];
  while (unstamped_.first != kNone) {
    const uint32_t frame = unstamped_.first;
    Unlink(frame);
    Append(newest, frame);
    ++batch.count;
    ++batch.class_counts[QuotaClassOf(rows_[frame].entry.name_space, quotas_)];
  }
  batch.stamped = now;
  for (size_t i = 0; i < users.size(); ++i) {
    batch.stamps[i] =
        users[i].message_free ? users[i].lanes.begun : std::array<uint64_t, kLanesMax>{};
  }
}

uint32_t Limbo::coming(Instant now) const {
  uint32_t stuck = 0;
  for (uint32_t i = 0; i < batch_count_; ++i) {
    const Batch& batch = batches_[(batch_first_ + i) % kBatchesMax];
    if (now.ns >= batch.stamped.ns + kSoonNs) stuck += batch.count;
  }
  return count_ - stuck;
}

uint32_t Limbo::coming_of(uint32_t quota_class, Instant now) const {
  uint32_t stuck = 0;
  for (uint32_t i = 0; i < batch_count_; ++i) {
    const Batch& batch = batches_[(batch_first_ + i) % kBatchesMax];
    if (now.ns >= batch.stamped.ns + kSoonNs) stuck += batch.class_counts[quota_class];
  }
  return class_counts_[quota_class] - stuck;
}

void Limbo::Forget(ClientId client) {
  for (Batch& batch : batches_) batch.stamps[client.value].fill(0);
}

bool Limbo::Blocked(const Batch& batch, const std::vector<LaneUser>& users,
                    NamespaceId name_space) const {
  for (size_t i = 0; i < users.size(); ++i) {
    const LaneUser& user = users[i];
    if (user.name_space == name_space && BlockedBy(user, batch.stamps[i])) return true;
  }
  return false;
}

bool Limbo::BlockedBy(const LaneUser& user, const std::array<uint64_t, kLanesMax>& stamps) {
  if (!user.message_free) return false;
  for (uint32_t lane = 0; lane < kLanesMax; ++lane) {
    if (user.lanes.done[lane] < stamps[lane]) return true;
  }
  return false;
}

uint32_t Limbo::CountHeldBy(ClientId client, const std::vector<LaneUser>& users) const {
  const LaneUser& user = users[client.value];
  uint32_t held = 0;
  for (uint32_t i = 0; i < batch_count_; ++i) {
    const Batch& batch = batches_[(batch_first_ + i) % kBatchesMax];
    if (!BlockedBy(user, batch.stamps[client.value])) continue;
    for (uint32_t frame = batch.frames.first; frame != kNone; frame = rows_[frame].next) {
      held += rows_[frame].entry.name_space == user.name_space ? 1 : 0;
    }
  }
  return held;
}

}  // namespace kvpager
