#include "memmgr/core/limbo.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "memmgr/base/check.h"

namespace kvpager {

Limbo::Limbo(uint32_t frames_max, uint32_t clients_max, uint32_t quotas)
    : next_(frames_max, kNone),
      name_spaces_(frames_max),
      writers_(frames_max),
      quotas_(quotas),
      class_counts_(quotas + 1, 0) {
  for (Batch& batch : batches_) {
    batch.stamps.resize(clients_max);
    batch.class_counts.resize(quotas + 1, 0);
  }
}

void Limbo::Add(FrameIndex frame, NamespaceId name_space, ClientId writer) {
  name_spaces_[frame.value] = name_space;
  writers_[frame.value] = writer;
  Append(unstamped_, frame.value);
  ++count_;
  ++class_counts_[QuotaClassOf(name_space, quotas_)];
}

void Limbo::Append(Chain& chain, uint32_t frame) {
  next_[frame] = kNone;
  (chain.first == kNone ? chain.first : next_[chain.last]) = frame;
  chain.last = frame;
}

void Limbo::Stamp(const std::vector<LaneUser>& users, Instant now) {
  if (!unstamped()) return;
  // Without a free batch the newest takes these frames too; a later stamp is no harm to its own.
  if (batch_count_ < kBatchesMax) ++batch_count_;
  Batch& batch = batches_[(batch_first_ + batch_count_ - 1) % kBatchesMax];
  for (uint32_t frame = unstamped_.first; frame != kNone;) {
    const uint32_t next = next_[frame];
    Append(batch.frames, frame);
    ++batch.count;
    ++batch.class_counts[QuotaClassOf(name_spaces_[frame], quotas_)];
    frame = next;
  }
  batch.stamped = now;
  unstamped_ = Chain{};
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
    for (uint32_t frame = batch.frames.first; frame != kNone; frame = next_[frame]) {
      held += name_spaces_[frame] == user.name_space ? 1 : 0;
    }
  }
  return held;
}

}  // namespace kvpager
