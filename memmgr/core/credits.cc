#include "memmgr/core/credits.h"

#include <algorithm>
#include <cstdint>

#include "memmgr/base/check.h"
#include "memmgr/core/planner.h"
#include "memmgr/core/state.h"
#include "memmgr/core/steps.h"

namespace kvpager {

CreditTable::CreditTable(const Limits& limits) : rows_(limits.sequences_max) {}

CreditTable::List* CreditTable::ListOf(CreditState state) {
  switch (state) {
    case CreditState::kWanted:
      return &wanted_;
    case CreditState::kPlacing:
      return &placing_;
    case CreditState::kGranted:
      return &granted_;
    default:
      return nullptr;
  }
}

void CreditTable::Append(List& list, SequenceId id) {
  Row& row = rows_[SlotOf(id)];
  row.next = SequenceId{};
  row.previous = list.last;
  (list.last.is_none() ? list.first : rows_[SlotOf(list.last)].next) = id;
  list.last = id;
  ++list.count;
}

void CreditTable::Remove(List& list, SequenceId id) {
  const Row& row = rows_[SlotOf(id)];
  (row.previous.is_none() ? list.first : rows_[SlotOf(row.previous)].next) = row.next;
  (row.next.is_none() ? list.last : rows_[SlotOf(row.next)].previous) = row.previous;
  --list.count;
}

void CreditTable::Set(SequenceId id, const Credit& credit) {
  Credit& now = rows_[SlotOf(id)].credit;
  if (List* list = ListOf(now.state); list != nullptr) Remove(*list, id);
  blocks_ += !credit.block.is_none();
  blocks_ -= !now.block.is_none();
  asked_ += credit.state == CreditState::kAsked;
  asked_ -= now.state == CreditState::kAsked;
  now = credit;
  if (List* list = ListOf(now.state); list != nullptr) Append(*list, id);
}

namespace {

constexpr uint32_t kLooksPerInput = 8;  // At each line.

void Tell(CoreState& s, SequenceId id, CreditWriteKind kind) {
  const Sequence& sequence = *s.sequences.Find(id);
  const BlockIndex block = s.credits.of(id).block;
  s.effects->credit_writes.push_back({.kind = kind,
                                      .client = sequence.client,
                                      .sequence = id,
                                      .block = block,
                                      .generation = s.blocks.block(block).generation});
}

// The block goes, and the place in the block list that was kept for it.
void Forget(CoreState& s, SequenceId id) {
  const BlockIndex block = s.credits.of(id).block;
  s.credits.Set(id, Credit{});
  if (block.is_none()) return;
  s.sequences.Unreserve();
  DropReference(s, block);
  s.progress = true;
}

bool StepWaitsForRoom(const CoreState& s) {
  return s.collecting != kNoSlot && s.steps.step(s.collecting).wants_room;
}

// Frames that nobody needs now: steps come first, and the free stock is not drained (R6).
bool PoolHasRoom(const CoreState& s) {
  constexpr size_t kTier = TierIndex(Tier::kHbm);
  if (s.credits.blocks() >= s.limits.credits_max || StepWaitsForRoom(s)) return false;
  const uint32_t kept = std::max(s.limits.free_low[kTier], s.limits.num_groups);
  return s.blocks.frames(Tier::kHbm).free_count() >= kept + s.limits.num_groups;
}

bool NamespaceHasRoom(const CoreState& s, NamespaceId owner) {
  return s.blocks.charges().Room(owner, Tier::kHbm) >= 2 * s.limits.num_groups;
}

// Near its tail, so that page ids come in runs.
BlockIndex AllocateAhead(CoreState& s, const Sequence& sequence) {
  if (!s.sequences.Reserve()) return {};
  const BlockIndex tail = sequence.blocks == 0 ? BlockIndex{} : s.sequences.Back(sequence);
  const BlockIndex block =
      s.blocks.Allocate(sequence.name_space, BlockIndex{}, tail.is_none() ? 0 : tail.value + 1);
  if (block.is_none()) {
    s.sequences.Unreserve();
    return {};
  }
  s.blocks.AddReference(block);
  Block& row = s.blocks.block(block);
  row.unseen = true;
  row.cut_unseen = true;  // Whoever takes it may read it, whatever we know by then.
  row.writer = sequence.client;
  return block;
}

// Finds frames for pages that have none. True if all are there.
bool PlaceAll(CoreState& s, BlockIndex block) {
  bool all = true;
  for (uint32_t group = 0; group < s.limits.num_groups; ++group) {
    const PageIndex page = s.blocks.page_of(block, group);
    if (s.blocks.page(page).copy(Tier::kHbm).absent()) Place(s, page, Urgency::kBackground);
    all &= s.blocks.page(page).copy(Tier::kHbm).valid();
  }
  return all;
}

// Granted if all its frames are there by now; else behind the others that are being placed.
void AdvancePlacing(CoreState& s, SequenceId id, Credit credit) {
  const bool placed = PlaceAll(s, credit.block);
  if (placed) {
    credit.state = CreditState::kGranted;
    credit.granted = s.now;
  }
  s.credits.Set(id, credit);
  if (!placed) return;
  Tell(s, id, CreditWriteKind::kGrant);
  ++s.metrics.credits_granted;
}

// Begins to place what the first in line wants. False if there is room for nobody.
bool AdvanceWanted(CoreState& s) {
  if (!PoolHasRoom(s)) return false;
  const SequenceId id = s.credits.first_wanted();
  const Sequence& sequence = *s.sequences.Find(id);
  Credit credit = s.credits.of(id);
  if (!NamespaceHasRoom(s, sequence.name_space)) {
    s.credits.Set(id, credit);  // To the end of the line.
    return true;
  }
  credit.block = AllocateAhead(s, sequence);
  if (credit.block.is_none()) return false;
  credit.state = CreditState::kPlacing;
  AdvancePlacing(s, id, credit);
  return true;
}

void Ask(CoreState& s, SequenceId id) {
  Credit credit = s.credits.of(id);
  credit.state = CreditState::kAsked;
  s.credits.Set(id, credit);
  Tell(s, id, CreditWriteKind::kRevoke);
}

// Lent to those who do not grow, credits are kept from those who do.
void RecycleOldest(CoreState& s) {
  const SequenceId oldest = s.credits.first_granted();
  if (s.credits.blocks() < s.limits.credits_max || oldest.is_none()) return;
  if (s.credits.asked() > 0) return;
  if (s.now.ns >= s.credits.of(oldest).granted.ns + kCreditIdleNs) Ask(s, oldest);
}

}  // namespace

void WantCredit(CoreState& s, SequenceId id) {
  const Sequence& sequence = *s.sequences.Find(id);
  if (s.limits.credits_max == 0 || sequence.client.is_none()) return;
  if (SequenceTable::slot_of(id) >= kCreditSlots) return;
  if (s.credits.of(id).state != CreditState::kNone) return;
  if (sequence.phase != SequencePhase::kOpen || sequence.suspended || sequence.closing) return;
  if (!s.lane_users[sequence.client.value].message_free || s.client(sequence.client).gone) return;
  s.credits.Set(id, Credit{.state = CreditState::kWanted});
}

void GrantCredits(CoreState& s) {
  const auto may_look = [&s] {
    return s.effects->credit_writes.size() < s.limits.credits_max && s.Spend(s.limits.num_groups);
  };
  for (uint32_t i = std::min(s.credits.placing(), kLooksPerInput); i > 0 && may_look(); --i) {
    const SequenceId id = s.credits.first_placing();
    AdvancePlacing(s, id, s.credits.of(id));
  }
  for (uint32_t i = std::min(s.credits.wanted(), kLooksPerInput); i > 0 && may_look(); --i) {
    if (AdvanceWanted(s)) continue;
    RecycleOldest(s);
    return;
  }
}

bool RevokeCredits(CoreState& s, uint32_t blocks) {
  bool any = false;
  for (; blocks > 0 && !s.credits.first_placing().is_none(); --blocks) {
    Forget(s, s.credits.first_placing());
    any = true;
  }
  for (; blocks > 0 && !s.credits.first_granted().is_none(); --blocks) {
    Ask(s, s.credits.first_granted());
    any = true;
  }
  return any;
}

void AnswerCredit(CoreState& s, SequenceId id, bool taken) {
  if (s.sequences.Find(id) == nullptr) return;
  Credit credit = s.credits.of(id);
  if (credit.state != CreditState::kAsked) return;  // Dropped meanwhile.
  if (taken) {
    credit.state = CreditState::kTaken;
    s.credits.Set(id, credit);
    return;
  }
  ++s.metrics.credits_revoked;
  Forget(s, id);
}

void DropCredit(CoreState& s, SequenceId id) {
  const CreditState state = s.credits.of(id).state;
  if (state != CreditState::kNone && state != CreditState::kWanted &&
      state != CreditState::kPlacing) {
    Tell(s, id, CreditWriteKind::kClear);
  }
  Forget(s, id);
}

bool UseCredit(CoreState& s, SequenceId id) {
  const Credit credit = s.credits.of(id);
  if (credit.state != CreditState::kGranted && credit.state != CreditState::kTaken) return false;
  Sequence& sequence = *s.sequences.Find(id);
  Tell(s, id, CreditWriteKind::kClear);
  s.credits.Set(id, Credit{});
  if (sequence.blocks > 0) s.blocks.SetParent(credit.block, s.sequences.Back(sequence));
  s.blocks.block(credit.block).cut_unseen = false;
  s.sequences.PushReserved(sequence, credit.block);  // With the reference that the credit had.
  ++s.metrics.credits_used;
  return true;
}

void UndoCredit(CoreState& s, SequenceId id) {
  Credit credit = s.credits.of(id);
  if (credit.state != CreditState::kTaken) return;
  credit.state = CreditState::kGranted;
  credit.granted = s.now;
  s.credits.Set(id, credit);
}

}  // namespace kvpager
