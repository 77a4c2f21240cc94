#include "memmgr/core/planner.h"

#include <algorithm>
#include <cstdint>

#include "memmgr/base/check.h"
#include "memmgr/core/durable.h"
#include "memmgr/core/loss.h"
#include "memmgr/core/nvme_loss.h"
#include "memmgr/core/room.h"
#include "memmgr/core/stocks.h"

namespace kvpager {
namespace {

constexpr uint32_t kWriteFailuresMax = 10;  // In a row: then it is asked once a second.

// ---- Starting

NamespaceId OwnerOf(const CoreState& s, PageIndex page) {
  return s.blocks.block(s.blocks.block_of(page)).name_space;
}

void Start(CoreState& s, Operation operation, CopyOp op) {
  operation.quota_class = s.blocks.charges().ClassOf(OwnerOf(s, operation.page));
  op.op = s.operations.Start(operation);
  op.channel = operation.channel;
  op.page = operation.page;
  op.group = s.blocks.group_of(operation.page);
  s.effects->copies.push_back(op);
  ++s.metrics.copies_started[ChannelIndex(operation.channel)];
}

// The header fields of a block's NVMe frames.
void DescribeRun(const CoreState& s, BlockIndex index, CopyOp& op) {
  const Block& block = s.blocks.block(index);
  op.stamp = block.stamp;
  op.name_space = block.name_space;
  if (!block.nvme_named) return;
  op.key = block.key;
  const BlockIndex parent = s.blocks.ParentOf(index);
  if (!parent.is_none()) op.parent_key = s.blocks.block(parent).key;
}

}  // namespace

bool Promote(CoreState& s, PageIndex page, Urgency urgency) {
  KVP_CHECK(s.blocks.page(page).copy(Tier::kHost).valid());
  KVP_CHECK(s.blocks.page(page).copy(Tier::kHbm).absent());
  if (!s.operations.HasRoom(Channel::kHostToHbm)) return false;
  const FrameIndex source = s.blocks.page(page).copy(Tier::kHost).frame;
  s.blocks.AddReader(page, Tier::kHost);  // So that making room does not take it.
  const NamespaceId owner = OwnerOf(s, page);
  const FrameIndex target = TakeFrameHbm(s, owner, urgency);
  if (target.is_none()) {
    s.blocks.RemoveReader(page, Tier::kHost);
    return false;
  }
  s.blocks.FillStart(page, Tier::kHbm, target);
  s.blocks.set_frame_namespace(target, owner);
  Start(s, {.channel = Channel::kHostToHbm, .page = page}, {.source = source, .target = target});
  return true;
}

bool Fetch(CoreState& s, PageIndex page, Urgency urgency) {
  KVP_CHECK(s.blocks.page(page).copy(Tier::kNvme).valid());
  KVP_CHECK(s.blocks.page(page).copy(Tier::kHost).absent());
  if (!s.operations.HasRoom(Channel::kNvmeToHost)) return false;
  const FrameIndex source = s.blocks.page(page).copy(Tier::kNvme).frame;
  s.blocks.AddReader(page, Tier::kNvme);
  const FrameIndex target = TakeFrameHost(
      s, OwnerOf(s, page), urgency, urgency == Urgency::kStuck ? Reserve::kUse : Reserve::kKeep);
  if (target.is_none()) {
    s.blocks.RemoveReader(page, Tier::kNvme);
    return false;
  }
  s.blocks.FillStart(page, Tier::kHost, target);
  CopyOp op{.source = source, .target = target};
  DescribeRun(s, s.blocks.block_of(page), op);
  Start(s, {.channel = Channel::kNvmeToHost, .page = page}, op);
  return true;
}

bool Demote(CoreState& s, PageIndex page, Urgency urgency, Demotion kind) {
  KVP_CHECK(s.blocks.page(page).copy(Tier::kHbm).valid());
  KVP_CHECK(s.blocks.page(page).copy(Tier::kHost).absent());
  if (!s.operations.HasRoom(Channel::kHbmToHost)) return false;
  const FrameIndex source = s.blocks.page(page).copy(Tier::kHbm).frame;
  s.blocks.AddReader(page, Tier::kHbm);
  const FrameIndex target = TakeFrameHost(s, OwnerOf(s, page), urgency,
                                          kind == Demotion::kSwap ? Reserve::kUse : Reserve::kKeep);
  // Making room may have discarded the very block, if another of its pages was the coldest.
  const bool live = s.blocks.block(s.blocks.block_of(page)).live();
  if (target.is_none() || !live) {
    if (!target.is_none()) s.blocks.frames(Tier::kHost).Give(target.value);
    s.blocks.RemoveReader(page, Tier::kHbm);
    return false;
  }
  const bool move = kind != Demotion::kCopy;
  s.blocks.FillStart(page, Tier::kHost, target);
  if (move) s.blocks.Withdraw(page);
  Start(s, {.move = move, .channel = Channel::kHbmToHost, .page = page},
        {.source = source, .target = target});
  return true;
}

bool WriteOut(CoreState& s, PageIndex page, Urgency urgency) {
  const Page& row = s.blocks.page(page);
  KVP_CHECK(row.copy(Tier::kHost).valid());
  KVP_CHECK(row.copy(Tier::kNvme).absent());
  const BlockIndex index = s.blocks.block_of(page);
  KVP_CHECK(s.blocks.block(index).phase == BlockPhase::kSealed);
  if (s.blocks.runs_max() == 0 || s.now < s.nvme_write_retry) return false;
  if (s.blocks.block(index).rewrite) return false;  // Not into the run that it is leaving.
  if (!s.operations.HasRoom(Channel::kHostToNvme)) return false;
  s.blocks.AddReader(page, Tier::kHost);
  if (s.blocks.block(index).nvme_first.is_none() && !TakeRun(s, index, urgency)) {
    s.blocks.RemoveReader(page, Tier::kHost);
    return false;
  }
  const FrameIndex target{s.blocks.block(index).nvme_first.value + s.blocks.group_of(page)};
  s.blocks.FillStart(page, Tier::kNvme, target);
  CopyOp op{.source = row.copy(Tier::kHost).frame, .target = target};
  DescribeRun(s, index, op);
  Start(s, {.channel = Channel::kHostToNvme, .page = page}, op);
  return true;
}

bool CopyTail(CoreState& s, PageIndex source, PageIndex target) {
  KVP_CHECK(s.blocks.page(source).copy(Tier::kHbm).valid());
  if (!s.operations.HasRoom(Channel::kHbmToHbm)) return false;
  const NamespaceId owner = OwnerOf(s, target);
  const FrameIndex frame = TakeFrameHbm(s, owner, Urgency::kDemand);
  if (frame.is_none()) return false;
  s.blocks.AddReader(source, Tier::kHbm);
  s.blocks.FillStart(target, Tier::kHbm, frame);
  s.blocks.set_frame_namespace(frame, owner);
  Start(s, {.channel = Channel::kHbmToHbm, .page = target, .source_page = source},
        {.source = s.blocks.page(source).copy(Tier::kHbm).frame, .target = frame});
  return true;
}

bool Place(CoreState& s, PageIndex page, Urgency urgency) {
  const NamespaceId owner = OwnerOf(s, page);
  if (!s.operations.HasRoom(Channel::kScrub)) return false;
  const FrameIndex frame = TakeFrameHbm(s, owner, urgency);
  if (frame.is_none()) return false;
  const NamespaceId before = s.blocks.frame_namespace(frame);
  s.blocks.set_frame_namespace(frame, owner);
  if (before.is_none() || before == owner) {
    s.blocks.Adopt(page, Tier::kHbm, frame);
    return true;
  }
  s.blocks.FillStart(page, Tier::kHbm, frame);
  Start(s, {.channel = Channel::kScrub, .page = page}, {.target = frame});
  return true;
}

// ---- Finishing

namespace {

// The copy that was being made is good, unless its block was given up meanwhile.
void Arrived(CoreState& s, PageIndex page, Tier tier) {
  if (s.blocks.block(s.blocks.block_of(page)).phase == BlockPhase::kDraining) {
    s.blocks.FillFail(page, tier);
  } else {
    s.blocks.FillDone(page, tier);
  }
}

// A copy that does not hold what it should: gone, unless somebody still reads it and will tell too.
void DropCorrupt(CoreState& s, PageIndex page, Tier tier) {
  const BlockIndex index = s.blocks.block_of(page);
  if (!s.blocks.block(index).live()) return;
  if (tier == Tier::kNvme) ForgetEntry(s, index);
  if (!s.blocks.page(page).copy(tier).idle()) return;
  s.blocks.Drop(page, tier);
  if (!s.blocks.HasOtherCopy(page, tier)) LoseBlock(s, index);
}

void FinishDemotion(CoreState& s, const Operation& done, Outcome outcome) {
  const BlockIndex index = s.blocks.block_of(done.page);
  s.blocks.RemoveReader(done.page, Tier::kHbm);
  const bool retiring = s.blocks.page(done.page).copy(Tier::kHbm).state == CopyState::kRetiring;
  if (outcome == Outcome::kOk) {
    const bool live = s.blocks.block(index).live();
    Arrived(s, done.page, Tier::kHost);
    if (live && retiring) s.blocks.Drop(done.page, Tier::kHbm);
    return;
  }
  if (retiring) s.blocks.Rescue(done.page);
  s.blocks.FillFail(done.page, Tier::kHost);
}

void FinishPromotion(CoreState& s, const Operation& done, Outcome outcome) {
  s.blocks.RemoveReader(done.page, Tier::kHost);
  if (outcome != Outcome::kOk) {
    s.blocks.FillFail(done.page, Tier::kHbm);
    if (outcome == Outcome::kCorrupt) DropCorrupt(s, done.page, Tier::kHost);
    return;
  }
  Arrived(s, done.page, Tier::kHbm);
  // The second half of a swap (R2): the reserved frame comes back, the pool's and the namespace's.
  const Charges& charges = s.blocks.charges();
  const NamespaceId owner = OwnerOf(s, done.page);
  const bool namespace_full =
      charges.IsBounded(owner, Tier::kHost) &&
      charges.used(owner, Tier::kHost) >= charges.quota(owner, Tier::kHost).max;
  if (s.blocks.frames(Tier::kHost).free_count() >= kHostReserve && !namespace_full) return;
  const Page& row = s.blocks.page(done.page);
  if (row.copy(Tier::kHbm).valid() && row.copy(Tier::kHost).idle()) {
    s.blocks.Drop(done.page, Tier::kHost);
  }
}

void FinishWrite(CoreState& s, const Operation& done, Outcome outcome) {
  const BlockIndex index = s.blocks.block_of(done.page);
  s.blocks.RemoveReader(done.page, Tier::kHost);
  if (outcome == Outcome::kOk && !s.blocks.nvme_lost()) {
    s.nvme_write_failures = 0;
    s.nvme_write_retry = Instant{};
    Arrived(s, done.page, Tier::kNvme);
    EnterCatalogue(s, index);
    return;
  }
  s.blocks.FillFail(done.page, Tier::kNvme);
  if (outcome == Outcome::kCorrupt) {
    DropCorrupt(s, done.page, Tier::kHost);
    return;
  }
  if (s.blocks.nvme_lost()) return;
  // A device that refuses is asked again after 1 ms, 2 ms, ... 1 s.
  s.nvme_write_failures = std::min(s.nvme_write_failures + 1, kWriteFailuresMax);
  s.nvme_write_retry = Instant{s.now.ns + (uint64_t{1'000'000} << s.nvme_write_failures)};
  if (s.nvme_write_failures == kWriteFailuresMax) FailDurableNames(s);
}

void FinishFetch(CoreState& s, const Operation& done, Outcome outcome) {
  s.blocks.RemoveReader(done.page, Tier::kNvme);
  if (outcome == Outcome::kOk) {
    Arrived(s, done.page, Tier::kHost);
    LeaveRun(s, done.page);
    if (s.blocks.nvme_lost()) LeaveLostNvme(s, s.blocks.block_of(done.page));
    return;
  }
  // Unreadable is as bad as wrong: there is no other place to read it from (ARCHITECTURE, section
  // 11).
  s.blocks.FillFail(done.page, Tier::kHost);
  const BlockIndex index = s.blocks.block_of(done.page);
  const Block& block = s.blocks.block(index);
  if (block.live() && block.restored) ++s.metrics.catalogue_stale;
  if (outcome == Outcome::kFailed && !block.nvme_first.is_none() && !block.run_bad) {
    s.blocks.RetireRun(index);
    s.metrics.retired_frames += s.limits.num_groups;
  }
  DropCorrupt(s, done.page, Tier::kNvme);
  if (s.blocks.nvme_lost()) LeaveLostNvme(s, index);
}

}  // namespace

void FinishCopy(CoreState& s, const Operation& done, Outcome outcome) {
  if (outcome == Outcome::kFailed) ++s.metrics.copies_failed[ChannelIndex(done.channel)];
  if (outcome == Outcome::kCorrupt) ++s.metrics.copies_corrupt[ChannelIndex(done.channel)];
  switch (done.channel) {
    case Channel::kHbmToHost:
      FinishDemotion(s, done, outcome);
      return;
    case Channel::kHostToHbm:
      FinishPromotion(s, done, outcome);
      return;
    case Channel::kHostToNvme:
      FinishWrite(s, done, outcome);
      return;
    case Channel::kNvmeToHost:
      FinishFetch(s, done, outcome);
      return;
    case Channel::kHbmToHbm:
      s.blocks.RemoveReader(done.source_page, Tier::kHbm);
      break;
    case Channel::kScrub:
      break;
  }
  if (outcome == Outcome::kOk) {
    Arrived(s, done.page, Tier::kHbm);
  } else {
    s.blocks.FillFail(done.page, Tier::kHbm);
  }
}

}  // namespace kvpager
