// memmgr/core/limbo.h
//
// Limbo: HBM frames that were withdrawn from the page table while a step that nobody told the core
// of may still read them. A frame leaves limbo when every lane of every engine that may have its
// page in an open sequence has passed the step it had begun last when the frame was withdrawn
// (epoch-based reclamation; docs/SHARED_PAGE_TABLE.md has the argument).
//
// Frames withdrawn by one input share a *batch* and one stamp per lane. Stamps come from samples
// taken after the page table was written; until then the batch is unstamped and nothing leaves it.
// Engines of other namespaces cannot have the page and are not waited for.
//
// The bytes of a frame in limbo are still those of its page. Whoever wants the page again may take
// the frame back, and need not copy it.
//
// Thread-safety: none. No allocation after construction.

#ifndef KVPAGER_MEMMGR_CORE_LIMBO_H_
#define KVPAGER_MEMMGR_CORE_LIMBO_H_

#include <array>
#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"
#include "memmgr/core/charges.h"

namespace kvpager {

inline constexpr uint32_t kLanesMax = 8;

// What an engine's lanes say: the newest step begun in each, and the newest that has ended with all
// before it.
struct LaneCounters {
  std::array<uint64_t, kLanesMax> begun{};
  std::array<uint64_t, kLanesMax> done{};
};

// One engine slot, as the core knows it.
struct LaneUser {
  bool message_free = false;
  NamespaceId name_space;
  LaneCounters lanes;
};

// What left a frame: the page, and whose it is.
struct LimboEntry {
  PageIndex page;
  uint32_t row_version = 0;  // Of the page's block: a later one is another block.
  NamespaceId name_space;
  ClientId writer;  // None: nobody could write it.
};

class Limbo {
 public:
  // `quotas`: namespaces that have one (charges.h).
  Limbo(uint32_t frames_max, uint32_t clients_max, uint32_t quotas = 0);

  // The frame's word has been withdrawn by the input at hand. REQUIRES: it is not in limbo.
  void Add(FrameIndex frame, const LimboEntry& entry);
  // True if the frame is here, and still holds that page.
  bool Holds(FrameIndex frame, PageIndex page, uint32_t row_version, NamespaceId name_space) const;
  // The page has it back. REQUIRES: it is in limbo.
  void Remove(FrameIndex frame);
  // The samples in `users`, by client slot, were taken after all withdrawals so far.
  void Stamp(const std::vector<LaneUser>& users, Instant now);
  // The slot's engine is gone, or a new one begins: nobody waits for the old one any more.
  void Forget(ClientId client);

  // Calls `free(frame, namespace, writer)` for each frame that has passed; true if there was one.
  template <typename Free>
  bool Release(const std::vector<LaneUser>& users, Free free);

  // Frames that wait for a lane of this client, alone or among others. O(frames in limbo)
  uint32_t CountHeldBy(ClientId client, const std::vector<LaneUser>& users) const;

  bool unstamped() const { return unstamped_.first != kNone; }
  uint32_t count() const { return count_; }
  // Those that can be counted on: in limbo for less than kSoonNs. What stays longer waits for an
  // engine that may hang, and must keep nobody from making room elsewhere.
  uint32_t coming(Instant now) const;
  // The same of one class of namespaces.
  uint32_t count_of(uint32_t quota_class) const { return class_counts_[quota_class]; }
  uint32_t coming_of(uint32_t quota_class, Instant now) const;
  // Calls `visit(namespace)` for each frame in limbo. O(count).
  template <typename Visit>
  void ForEach(Visit visit) const;

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr uint32_t kBatchesMax = 64;
  static constexpr uint64_t kSoonNs = 20'000'000;

  struct Chain {
    uint32_t first = kNone;
    uint32_t last = kNone;
  };
  struct Batch {
    Chain frames;
    uint32_t count = 0;
    std::vector<uint32_t> class_counts;
    Instant stamped;
    std::vector<std::array<uint64_t, kLanesMax>> stamps;  // By client slot; 0: not waited for.
  };

  static constexpr uint32_t kUnstamped = kBatchesMax;
  static constexpr uint32_t kNowhere = kBatchesMax + 1;

  struct Row {
    LimboEntry entry;
    uint32_t next = kNone;
    uint32_t previous = kNone;
    uint32_t batch = kNowhere;  // Index into batches_, or one of the above.
  };

  Chain& ChainOf(uint32_t batch) {
    return batch == kUnstamped ? unstamped_ : batches_[batch].frames;
  }
  void Append(uint32_t batch, uint32_t frame);
  void Unlink(uint32_t frame);
  // Out of its chain and of all counts.
  void TakeOut(uint32_t frame);
  void DropEmptyBatches();
  bool Blocked(const Batch& batch, const std::vector<LaneUser>& users,
               NamespaceId name_space) const;
  static bool BlockedBy(const LaneUser& user, const std::array<uint64_t, kLanesMax>& stamps);

  std::vector<Row> rows_;  // By frame.
  Chain unstamped_;
  std::array<Batch, kBatchesMax> batches_;  // A ring, oldest first.
  uint32_t batch_first_ = 0;
  uint32_t batch_count_ = 0;
  uint32_t count_ = 0;
  const uint32_t quotas_;
  std::vector<uint32_t> class_counts_;
};

template <typename Free>
bool Limbo::Release(const std::vector<LaneUser>& users, Free free) {
  bool any = false;
  for (uint32_t i = 0; i < batch_count_; ++i) {
    const Batch& batch = batches_[(batch_first_ + i) % kBatchesMax];
    for (uint32_t frame = batch.frames.first; frame != kNone;) {
      const uint32_t next = rows_[frame].next;
      const LimboEntry entry = rows_[frame].entry;
      if (!Blocked(batch, users, entry.name_space)) {
        TakeOut(frame);
        any = true;
        free(FrameIndex{frame}, entry.name_space, entry.writer);
      }
      frame = next;
    }
  }
  DropEmptyBatches();
  return any;
}

template <typename Visit>
void Limbo::ForEach(Visit visit) const {
  const auto visit_chain = [&](const Chain& chain) {
    for (uint32_t frame = chain.first; frame != kNone; frame = rows_[frame].next) {
      visit(rows_[frame].entry.name_space);
    }
  };
  visit_chain(unstamped_);
  for (uint32_t i = 0; i < batch_count_; ++i) {
    visit_chain(batches_[(batch_first_ + i) % kBatchesMax].frames);
  }
}

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_LIMBO_H_
