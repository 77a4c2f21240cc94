#include "memmgr/core/block_table.h"

#include <cstdint>
#include <memory>
#include <optional>

#include "memmgr/base/check.h"
#include "memmgr/core/lru_policy.h"

namespace kvpager {
namespace {

constexpr uint32_t kGenerations = 1024;

void Advance(Block& block, BlockEvent event) {
  const std::optional<BlockPhase> next = Next(block.phase, event);
  KVP_CHECK(next.has_value());
  block.phase = *next;
}

}  // namespace

BlockTable::BlockTable(const Limits& limits)
    : num_groups_(limits.num_groups),
      blocks_max_(limits.blocks_max),
      admission_(limits.admission),
      write_budget_(limits.write_budget_blocks),
      blocks_(limits.blocks_max),
      pages_(limits.pages_max()),
      frame_namespaces_(limits.frames_max[TierIndex(Tier::kHbm)]),
      unseen_readers_(limits.namespaces_max, 0),
      limbo_(limits.frames_max[TierIndex(Tier::kHbm)], limits.clients_max,
             static_cast<uint32_t>(limits.quotas.size())),
      quarantine_(limits.frames_max[TierIndex(Tier::kHbm)], limits.clients_max),
      rows_(limits.blocks_max),
      hbm_frames_(limits.frames_max[TierIndex(Tier::kHbm)]),
      host_frames_(limits.frames_max[TierIndex(Tier::kHost)]),
      runs_(limits.frames_max[TierIndex(Tier::kNvme)] / limits.num_groups),
      charges_(limits),
      policy_(std::make_unique<LruPolicy>(limits.blocks_max,
                                          static_cast<uint32_t>(limits.quotas.size()) + 1)) {}

// ---- Rows

BlockIndex BlockTable::Allocate(NamespaceId name_space, BlockIndex parent, uint32_t hint) {
  const uint32_t row = rows_.Take(hint);
  if (row == FreeMap::kNone) return BlockIndex{};
  Block& fresh = blocks_[row];
  const auto generation = static_cast<uint16_t>((fresh.generation + 1u) % kGenerations);
  const uint32_t row_version = fresh.row_version + 1;
  fresh = Block{};
  fresh.generation = generation;
  fresh.row_version = row_version;
  fresh.name_space = name_space;
  fresh.touches = 1;
  fresh.last_use = ++use_counter_;
  policy_->Assign(BlockIndex{row}, charges_.ClassOf(name_space));
  Advance(fresh, BlockEvent::kAllocate);
  SetParent(BlockIndex{row}, parent);
  return BlockIndex{row};
}

BlockIndex BlockTable::Restore(NamespaceId name_space, FrameIndex nvme_first) {
  const uint32_t row = rows_.Take();
  if (row == FreeMap::kNone) return BlockIndex{};
  Block& restored = blocks_[row];
  restored.name_space = name_space;
  restored.touches = 2;  // It was worth a write once.
  restored.admitted = admission_ != Admission::kNever;
  restored.last_use = ++use_counter_;
  policy_->Assign(BlockIndex{row}, charges_.ClassOf(name_space));
  Advance(restored, BlockEvent::kRestore);
  runs_.TakeExactly(nvme_first.value / num_groups_);
  charges_.Take(name_space, Tier::kNvme, num_groups_);
  restored.nvme_first = nvme_first;
  restored.restored = true;
  for (uint32_t group = 0; group < num_groups_; ++group) {
    Adopt(page_of(BlockIndex{row}, group), Tier::kNvme, FrameIndex{nvme_first.value + group});
  }
  return BlockIndex{row};
}

void BlockTable::Seal(BlockIndex index) {
  Block& sealed = block(index);
  KVP_CHECK_EQ(sealed.write_pins, 0);
  Advance(sealed, BlockEvent::kSeal);
  sealed.writer = ClientId{};
  CountOpenHost(sealed, -static_cast<int32_t>(sealed.pages_in[TierIndex(Tier::kHost)]));
  Admit(index);
  RefreshStocks(index);
  charges_.NoteFreed(sealed.name_space);  // It may go down now.
}

void BlockTable::Release(BlockIndex index) {
  Block& released = block(index);
  KVP_CHECK_EQ(released.references, 0u);
  KVP_CHECK(!released.named);
  if (released.phase == BlockPhase::kOpen) {
    CountOpenHost(released, -static_cast<int32_t>(released.pages_in[TierIndex(Tier::kHost)]));
  }
  Advance(released, BlockEvent::kRelease);
  for (uint32_t group = 0; group < num_groups_; ++group) {
    const PageIndex index_page = page_of(index, group);
    for (Tier tier : {Tier::kHbm, Tier::kHost, Tier::kNvme}) {
      const Copy& copy = page(index_page).copy(tier);
      KVP_CHECK_EQ(copy.pins, 0);
      if (copy.readers > 0 || copy.absent() || copy.state == CopyState::kFilling) continue;
      Drop(index_page, tier);
    }
  }
  if (released.phase == BlockPhase::kDraining) FreeRow(index);
}

// Frees a draining row once nothing holds a frame of it any more; else leaves it.
void BlockTable::FreeRow(BlockIndex index) {
  Block& gone = block(index);
  for (uint32_t count : gone.pages_in) {
    if (count > 0) return;
  }
  Advance(gone, BlockEvent::kSettle);
  SetParent(index, BlockIndex{});
  // Its children stay: they are found by key, cut off until somebody makes their parent again.
  ++gone.row_version;
  rows_.Give(index.value);
}

BlockIndex BlockTable::ParentOf(BlockIndex index) const {
  const Block& child = block(index);
  if (child.parent.is_none()) return BlockIndex{};
  if (block(child.parent).row_version != child.parent_version) return BlockIndex{};
  return child.parent;
}

void BlockTable::SetParent(BlockIndex index, BlockIndex parent) {
  KVP_CHECK(parent != index);
  Block& child = block(index);
  if (const BlockIndex old = ParentOf(index); !old.is_none()) {
    --block(old).children;
    for (size_t tier = 0; tier < kTierCount; ++tier) {
      if (child.pages_in[tier] > 0) --block(old).children_in[tier];
    }
  }
  child.parent = parent;
  if (parent.is_none()) return;
  child.parent_version = block(parent).row_version;
  ++block(parent).children;
  for (size_t tier = 0; tier < kTierCount; ++tier) {
    if (child.pages_in[tier] > 0) ++block(parent).children_in[tier];
  }
}

void BlockTable::AddReference(BlockIndex index) {
  if (block(index).references++ == 0) RefreshStocks(index);
}

void BlockTable::RemoveReference(BlockIndex index) {
  KVP_CHECK_GT(block(index).references, 0u);
  if (--block(index).references > 0) return;
  RefreshStocks(index);
  charges_.NoteFreed(block(index).name_space);
}

void BlockTable::SetNamespace(BlockIndex index, NamespaceId name_space) {
  Block& row = block(index);
  if (row.name_space == name_space) return;
  KVP_CHECK(row.phase == BlockPhase::kSealed);
  for (Tier tier : {Tier::kHbm, Tier::kHost, Tier::kNvme}) {
    uint32_t frames = row.pages_in[TierIndex(tier)];
    if (tier == Tier::kNvme && frames > 0) frames = num_groups_;
    charges_.Give(row.name_space, tier, frames);
    charges_.Take(name_space, tier, frames);
  }
  row.name_space = name_space;
  policy_->Assign(index, charges_.ClassOf(name_space));
}

void BlockTable::SetMovable(BlockIndex index, bool movable) {
  block(index).movable = movable;
  if (movable) charges_.NoteFreed(block(index).name_space);
}

void BlockTable::Touch(BlockIndex index) {
  block(index).last_use = ++use_counter_;
  policy_->Touch(index);
}

void BlockTable::Cool(BlockIndex index) { policy_->Cool(index); }

// ---- Copies

void BlockTable::Change(PageIndex index, Tier tier, CopyEvent event, FrameIndex frame) {
  Page& changed = mutable_page(index);
  Copy& copy = changed.copy(tier);
  const std::optional<CopyState> next = Next(copy.state, event);
  KVP_CHECK(next.has_value());
  const BlockIndex owner = block_of(index);
  Block& row = block(owner);
  const bool was_absent = copy.absent();
  const bool was_valid = copy.valid();
  const bool was_retiring = copy.state == CopyState::kRetiring;
  const bool was_readable = was_valid || was_retiring;
  copy.state = *next;
  const bool retiring = copy.state == CopyState::kRetiring;
  if (retiring != was_retiring) charges_.AddLeaving(row.name_space, retiring ? 1 : -1);
  if (was_absent) {
    KVP_CHECK(!frame.is_none());
    copy.frame = frame;
    if (tier == Tier::kHbm) changed.parted = FrameIndex{};  // What is written now is not there.
    if (tier != Tier::kNvme) charges_.Take(row.name_space, tier);  // A run is charged whole.
    if (tier == Tier::kHost && row.phase == BlockPhase::kOpen) CountOpenHost(row, 1);
    if (row.pages_in[TierIndex(tier)]++ == 0) Enter(owner, tier);
  }
  if (tier == Tier::kNvme) row.pages_valid_nvme += copy.valid() - was_valid;
  if (copy.absent()) {
    KVP_CHECK_EQ(copy.readers, 0);
    KVP_CHECK_EQ(copy.pins, 0);
    LetGoOfFrame(index, tier, copy.frame, was_readable);
    copy.frame = FrameIndex{};
    if (tier == Tier::kHost && row.phase == BlockPhase::kOpen) CountOpenHost(row, -1);
    if (--row.pages_in[TierIndex(tier)] == 0) Leave(owner, tier);
  }
  if (tier == Tier::kHbm && was_valid != copy.valid()) Publish(index);
  RefreshStock(index);
}

// An engine reads frames of blocks in its open sequences without asking; a cached block is in none.
void BlockTable::LetGoOfFrame(PageIndex index, Tier tier, FrameIndex frame, bool was_readable) {
  if (tier == Tier::kNvme) return;
  const Block& row = block(block_of(index));
  const bool unseen = tier == Tier::kHbm && was_readable &&
                      (row.references > 0 || row.cut_unseen) &&
                      unseen_readers_[row.name_space.value] > 0;
  // A frame that is still being filled is nobody's to write: no step was told of it.
  const ClientId writer = tier == Tier::kHbm && was_readable ? row.writer : ClientId{};
  if (unseen) {
    limbo_.Add(frame, {.page = index,  // Charged until it leaves.
                       .row_version = row.row_version,
                       .name_space = row.name_space,
                       .writer = writer});
    mutable_page(index).parted = frame;
    charges_.AddLeaving(row.name_space, 1);
  } else if (quarantine_.keeps(writer)) {
    quarantine_.Add(writer, frame, row.name_space);  // The same.
    charges_.AddLeaving(row.name_space, 1);
  } else {
    frames(tier).Give(frame.value);
    charges_.Give(row.name_space, tier);
  }
}

bool BlockTable::TakeBack(PageIndex index) {
  const Page& row = page(index);
  const Block& owner = block(block_of(index));
  if (!row.copy(Tier::kHbm).absent() || owner.phase != BlockPhase::kSealed) return false;
  const FrameIndex frame = row.parted;
  if (frame.is_none()) return false;
  if (!limbo_.Holds(frame, index, owner.row_version, owner.name_space)) return false;
  limbo_.Remove(frame);
  charges_.Give(owner.name_space, Tier::kHbm);
  charges_.AddLeaving(owner.name_space, -1);
  Adopt(index, Tier::kHbm, frame);
  return true;
}

void BlockTable::LeaveLimbo(FrameIndex frame, NamespaceId name_space, ClientId writer) {
  if (quarantine_.keeps(writer)) {
    quarantine_.Add(writer, frame, name_space);
  } else {
    GiveLeaving(frame, name_space);
  }
}

void BlockTable::GiveLeaving(FrameIndex frame, NamespaceId name_space) {
  frames(Tier::kHbm).Give(frame.value);
  charges_.Give(name_space, Tier::kHbm);
  charges_.AddLeaving(name_space, -1);
}

void BlockTable::Enter(BlockIndex index, Tier tier) {
  ++blocks_in_[TierIndex(tier)];
  policy_->Track(tier, index);
  const BlockIndex parent = ParentOf(index);
  if (!parent.is_none()) ++block(parent).children_in[TierIndex(tier)];
}

void BlockTable::Leave(BlockIndex index, Tier tier) {
  --blocks_in_[TierIndex(tier)];
  policy_->Forget(tier, index);
  Block& row = block(index);
  const BlockIndex parent = ParentOf(index);
  if (!parent.is_none()) --block(parent).children_in[TierIndex(tier)];
  if (tier == Tier::kNvme) {
    if (row.run_bad) {
      ++runs_retired_;  // It stays taken.
    } else {
      runs_.Give(row.nvme_first.value / num_groups_);
    }
    charges_.Give(row.name_space, Tier::kNvme, num_groups_);
    row.nvme_first = FrameIndex{};
    row.run_bad = false;
    row.nvme_named = false;
    row.rewrite = false;
  }
}

void BlockTable::FillStart(PageIndex page, Tier tier, FrameIndex frame) {
  Change(page, tier, CopyEvent::kFillStart, frame);
}

void BlockTable::FillDone(PageIndex page, Tier tier) {
  Change(page, tier, CopyEvent::kFillDone, {});
}

void BlockTable::FillFail(PageIndex page, Tier tier) {
  const BlockIndex owner = block_of(page);
  Change(page, tier, CopyEvent::kFillFail, {});
  if (block(owner).phase == BlockPhase::kDraining) FreeRow(owner);
}

void BlockTable::Adopt(PageIndex page, Tier tier, FrameIndex frame) {
  Change(page, tier, CopyEvent::kAdopt, frame);
}

void BlockTable::Withdraw(PageIndex page) { Change(page, Tier::kHbm, CopyEvent::kWithdraw, {}); }

void BlockTable::Rescue(PageIndex page) { Change(page, Tier::kHbm, CopyEvent::kRescue, {}); }

void BlockTable::Drop(PageIndex page, Tier tier) {
  const BlockIndex owner = block_of(page);
  if (tier == Tier::kHost) mutable_page(page).guarded = false;
  Change(page, tier, CopyEvent::kDrop, {});
  if (block(owner).phase == BlockPhase::kDraining) FreeRow(owner);
}

void BlockTable::AddReader(PageIndex page, Tier tier) {
  Copy& copy = mutable_page(page).copy(tier);
  KVP_CHECK(copy.state == CopyState::kValid || copy.state == CopyState::kRetiring);
  ++copy.readers;
}

void BlockTable::RemoveReader(PageIndex index, Tier tier) {
  Copy& copy = mutable_page(index).copy(tier);
  KVP_CHECK_GT(copy.readers, 0);
  --copy.readers;
  // What was released while it was read goes now.
  if (copy.readers == 0 && block(block_of(index)).phase == BlockPhase::kDraining) Drop(index, tier);
}

void BlockTable::Pin(PageIndex index, Tier tier, uint16_t count) {
  Copy& copy = mutable_page(index).copy(tier);
  KVP_CHECK(copy.valid());
  if (count == 0) return;
  const bool first = copy.pins == 0;
  copy.pins = static_cast<uint16_t>(copy.pins + count);
  KVP_CHECK_LE(count, copy.pins);
  if (!first) return;
  ++pinned_pages_[TierIndex(tier)];
  if (tier == Tier::kHost) Publish(index);
  RefreshStock(index);
}

void BlockTable::Unpin(PageIndex index, Tier tier) {
  Copy& copy = mutable_page(index).copy(tier);
  KVP_CHECK_GT(copy.pins, 0);
  if (--copy.pins > 0) return;
  --pinned_pages_[TierIndex(tier)];
  if (tier == Tier::kHost) Publish(index);
  RefreshStock(index);
}

void BlockTable::AddClaim(PageIndex index) {
  KVP_CHECK_LT(mutable_page(index).claims, UINT16_MAX);
  ++mutable_page(index).claims;
  ++claimed_pages_;
  RefreshStock(index);
}

uint16_t BlockTable::TakeClaims(PageIndex index) {
  const uint16_t claims = page(index).claims;
  mutable_page(index).claims = 0;
  claimed_pages_ -= claims;
  RefreshStock(index);
  return claims;
}

void BlockTable::RemoveClaim(PageIndex index) {
  KVP_CHECK_GT(page(index).claims, 0);
  --mutable_page(index).claims;
  --claimed_pages_;
  RefreshStock(index);
}

void BlockTable::SetGuarded(PageIndex index, bool guarded) {
  mutable_page(index).guarded = guarded;
  RefreshStock(index);
}

bool BlockTable::HasOtherCopy(PageIndex index, Tier tier) const {
  for (Tier other : {Tier::kHbm, Tier::kHost, Tier::kNvme}) {
    if (other == tier) continue;
    const CopyState state = page(index).copy(other).state;
    if (state == CopyState::kValid || state == CopyState::kRetiring) return true;
  }
  return false;
}

void BlockTable::TakeRun(BlockIndex index, Stamp stamp) {
  Block& row = block(index);
  KVP_CHECK(row.nvme_first.is_none());
  const uint32_t run = runs_.Take(run_hint_);
  KVP_CHECK(run != FreeMap::kNone);
  run_hint_ = run + 1;
  write_budget_.Charge();
  charges_.Take(row.name_space, Tier::kNvme, num_groups_);
  row.nvme_first = FrameIndex{run * num_groups_};
  row.stamp = stamp;
  row.nvme_named = row.named;
}

void BlockTable::HoldFreeRuns() {
  run_held_.assign(runs_.size(), false);
  for (uint32_t run = 0; run < runs_.size(); ++run) {
    if (!runs_.is_free(run)) continue;
    runs_.TakeExactly(run);
    run_held_[run] = true;
    ++runs_held_;
  }
}

void BlockTable::ReleaseRun(FrameIndex first) {
  if (!RunIsHeld(first)) return;
  const uint32_t run = first.value / num_groups_;
  run_held_[run] = false;
  --runs_held_;
  runs_.Give(run);
}

void BlockTable::RetireRun(BlockIndex index) {
  KVP_CHECK(!block(index).nvme_first.is_none());
  block(index).run_bad = true;
}

// ---- What follows from a change

void BlockTable::CountOpenHost(const Block& row, int32_t pages) {
  open_pages_host_ += static_cast<uint32_t>(pages);
  charges_.AddOpenHost(row.name_space, pages);
}

void BlockTable::Publish(PageIndex index) {
  const Page& changed = page(index);
  const Copy& hbm = changed.copy(Tier::kHbm);
  const Copy& host = changed.copy(Tier::kHost);
  effects_->page_table_writes.push_back({
      .page = index,
      .frame_hbm = hbm.valid() ? hbm.frame : FrameIndex{},
      .frame_host = host.valid() && host.pins > 0 ? host.frame : FrameIndex{},  // R11
      .generation = block(block_of(index)).generation,
  });
}

void BlockTable::Admit(BlockIndex index) {
  Block& row = block(index);
  if (admission_ == Admission::kNever || row.phase != BlockPhase::kSealed) return;
  const uint32_t usual = TouchesToAdmit(admission_);
  row.admitted |= row.touches >= write_budget_.TouchesWanted(usual);
}

void BlockTable::Readmit(BlockIndex index) {
  block(index).admitted = false;
  Admit(index);
  RefreshStocks(index);
}

bool BlockTable::Admitted(const Block& row) const {
  return runs_max() > 0 && (row.durable || row.admitted);
}

// Clean: it can leave the tier at once, because a lower tier has it, or because it is cached only
// and not worth a write.
bool BlockTable::IsClean(PageIndex index, Tier tier) const {
  const Page& candidate = page(index);
  const Block& row = block(block_of(index));
  const Copy& copy = candidate.copy(tier);
  if (row.phase != BlockPhase::kSealed || !copy.valid() || copy.pins > 0) return false;
  if (candidate.claims > 0) return false;
  if (tier == Tier::kHost && candidate.guarded) return false;
  if (candidate.copy(Tier::kNvme).valid()) return true;
  if (tier == Tier::kHbm) return candidate.copy(Tier::kHost).valid();
  return row.references == 0 && !Admitted(row);
}

void BlockTable::RefreshStock(PageIndex index) {
  Page& changed = mutable_page(index);
  for (Tier tier : {Tier::kHbm, Tier::kHost}) {
    const bool clean = IsClean(index, tier);
    bool& counted = changed.clean[TierIndex(tier)];
    if (clean == counted) continue;
    counted = clean;
    clean_pages_[TierIndex(tier)] += clean ? 1u : ~0u;
    block(block_of(index)).clean_pages[TierIndex(tier)] += clean ? 1u : ~0u;
  }
}

void BlockTable::RefreshStocks(BlockIndex index) {
  for (uint32_t group = 0; group < num_groups_; ++group) RefreshStock(page_of(index, group));
}

}  // namespace kvpager
