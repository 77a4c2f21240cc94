// memmgr/core/charges.h
//
// Charges: how many frames of each tier each namespace has, and what its quota says of it.
//
// Every frame in use is charged to one namespace, that of the block whose copy stands in it, also
// while the frame is in limbo; an NVMe run is charged whole. Blocks shared within a namespace count
// once. A restored block is charged to nobody until its namespace opens it; only that can bring a
// namespace above its NVMe maximum, which it then makes up for before it takes another run.
//
//   maximum     used <= max. At the maximum a namespace makes room from its own pages only. Like
//               the pool (R2) it keeps one host frame of its maximum free, except for a swap.
//   guarantee   whoever is not the namespace itself takes a frame from it only while it has more
//               than its guarantee.
//
// A *class* is a namespace with a quota (its number + 1), or 0: all others together. Victims are
// looked for by class (victims.h).
//
// Thread-safety: none. No allocation after construction. O(1), and O(classes) where it says so.

#ifndef KVPAGER_MEMMGR_CORE_CHARGES_H_
#define KVPAGER_MEMMGR_CORE_CHARGES_H_

#include <array>
#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"
#include "memmgr/core/limits.h"

namespace kvpager {

using ClassMask = uint64_t;  // Bit c: class c.
inline constexpr ClassMask kAllClasses = ~ClassMask{0};
inline constexpr uint32_t kClassesMax = kQuotasMax + 1;

inline uint32_t QuotaClassOf(NamespaceId name, uint32_t quotas) {
  return name.value < quotas ? name.value + 1 : 0;
}
inline ClassMask MaskOf(uint32_t quota_class) { return ClassMask{1} << quota_class; }

// Which of a namespace's host frames are counted on: all but the reserve, or all.
enum class Reserve : uint8_t { kKeep, kUse };

class Charges {
 public:
  explicit Charges(const Limits& limits);

  bool any_quota() const { return !quotas_.empty(); }
  uint32_t classes() const { return static_cast<uint32_t>(quotas_.size()) + 1; }
  uint32_t ClassOf(NamespaceId name) const {
    return QuotaClassOf(name, static_cast<uint32_t>(quotas_.size()));
  }

  // `name` may be none: restored blocks that nobody has opened yet.
  void Take(NamespaceId name, Tier tier, uint32_t frames = 1);
  void Give(NamespaceId name, Tier tier, uint32_t frames = 1);
  uint32_t used(NamespaceId name, Tier tier) const { return row(name).used[TierIndex(tier)]; }

  // HBM frames of pages that are being moved out, or are in limbo: charged still, but no guarantee
  // is met by them.
  void AddLeaving(NamespaceId name, int32_t frames) {
    leaving_[ClassOf(name)] += static_cast<uint32_t>(frames);
  }
  uint32_t leaving(uint32_t quota_class) const { return leaving_[quota_class]; }

  // Pages of open blocks in host memory, which cannot go on to NVMe.
  void AddOpenHost(NamespaceId name, int32_t pages) {
    open_host_[ClassOf(name)] += static_cast<uint32_t>(pages);
  }
  // True if no more of them should come down: two frames stay for what passes through.
  bool OpenHostFull(NamespaceId name) const;
  uint32_t open_host(uint32_t quota_class) const { return open_host_[quota_class]; }

  const Quota& quota(NamespaceId name, Tier tier) const;
  // The namespace's maximum is below the tier's size.
  bool IsBounded(NamespaceId name, Tier tier) const;
  // Frames that the namespace may take before it is at its maximum; all ones if it has none.
  uint32_t Room(NamespaceId name, Tier tier, Reserve reserve = Reserve::kUse) const;

  // Classes that could lose `frames` to anybody, and stay at their guarantee. O(classes).
  ClassMask Sparing(Tier tier, uint32_t frames = 1) const;
  bool Spares(NamespaceId name, Tier tier, uint32_t frames) const;
  // Some namespace of another class has more than its guarantee. O(classes).
  bool OthersSpare(NamespaceId name, Tier tier) const;

  // Grows whenever something of the class becomes free, or might: what waits for it looks again.
  void NoteFreed(NamespaceId name) { ++freed_[ClassOf(name)], ++freed_total_; }
  uint64_t freed(NamespaceId name) const { return freed_[ClassOf(name)]; }
  uint64_t freed_total() const { return freed_total_; }

  uint32_t share(NamespaceId name) const {
    const uint32_t quota_class = ClassOf(name);
    return quota_class == 0 ? 1 : quotas_[quota_class - 1].share;
  }

 private:
  struct Row {
    std::array<uint32_t, kTierCount> used{};
  };
  Row& row(NamespaceId name) { return rows_[name.is_none() ? rows_.size() - 1 : name.value]; }
  const Row& row(NamespaceId name) const {
    return rows_[name.is_none() ? rows_.size() - 1 : name.value];
  }

  const std::vector<NamespaceQuota> quotas_;
  const std::array<uint32_t, kTierCount> frames_max_;
  const Quota no_quota_;
  std::vector<Row> rows_;  // By namespace; the last: none.
  std::array<std::array<uint32_t, kTierCount>, kClassesMax> class_used_{};
  std::array<uint32_t, kClassesMax> leaving_{};
  std::array<uint32_t, kClassesMax> open_host_{};
  std::array<uint64_t, kClassesMax> freed_{};
  uint64_t freed_total_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_CHARGES_H_
