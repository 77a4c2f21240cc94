#include "memmgr/core/admission.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "memmgr/base/check.h"
#include "memmgr/base/units.h"
#include "memmgr/core/steps.h"

namespace kvpager {
namespace {

// The sequence may append behind `rows` of its tail without a copy: nobody else's rows are there.
bool MayWriteInPlace(const Block& tail, uint32_t rows) {
  if (tail.phase != BlockPhase::kOpen) return false;
  return tail.filled_tokens == rows || tail.references == 1;
}

bool WritesUnseen(const CoreState& s, const Sequence& sequence) {
  return !sequence.client.is_none() && s.lane_users[sequence.client.value].message_free;
}

uint32_t RowHint(const SequenceTable& sequences, const Sequence& sequence) {
  return sequence.blocks == 0 ? 0 : sequences.Back(sequence).value + 1;
}

// Replaces a tail that may not be written by an empty block; its rows are copied by the collector.
bool ReplaceTail(CoreState& s, Sequence& sequence, EntryState& entry, uint32_t position) {
  const BlockIndex tail = s.sequences.At(sequence, position);
  const BlockIndex fresh = s.blocks.Allocate(sequence.name_space, s.blocks.ParentOf(tail),
                                             RowHint(s.sequences, sequence));
  if (fresh.is_none()) return false;
  s.blocks.AddReference(fresh);
  s.blocks.block(fresh).unseen = WritesUnseen(s, sequence);
  s.blocks.block(fresh).writer = sequence.client;
  s.sequences.Replace(sequence, position, fresh);
  entry.tail_source = tail;  // With the reference that the sequence had.
  entry.tail_target = fresh;
  return true;
}

bool Grow(CoreState& s, Sequence& sequence) {
  const BlockIndex parent = sequence.blocks == 0 ? BlockIndex{} : s.sequences.Back(sequence);
  const BlockIndex fresh =
      s.blocks.Allocate(sequence.name_space, parent, RowHint(s.sequences, sequence));
  if (fresh.is_none()) return false;
  s.blocks.AddReference(fresh);
  s.blocks.block(fresh).unseen = WritesUnseen(s, sequence);
  s.blocks.block(fresh).writer = sequence.client;
  if (s.sequences.PushBack(sequence, fresh)) return true;
  DropReference(s, fresh);
  return false;
}

// Every block at and after `position` belongs to this sequence alone and is open.
bool MayRewrite(const CoreState& s, const Sequence& sequence, uint32_t position) {
  for (SequenceTable::Walk walk(s.sequences, sequence, position); walk.valid(); walk.Next()) {
    const Block& block = s.blocks.block(walk.block());
    if (block.phase != BlockPhase::kOpen || block.references != 1) return false;
  }
  return true;
}

Refusal AdmitEntry(CoreState& s, EntryState& entry) {
  const uint32_t page_tokens = s.limits.page_tokens;
  Sequence& sequence = *s.sequences.Find(entry.sequence);
  entry.length_before_tokens = sequence.length_tokens;
  entry.length_after_tokens = sequence.length_tokens + entry.append_tokens;
  entry.blocks_before = sequence.blocks;
  const auto position = static_cast<uint32_t>(sequence.length_tokens / page_tokens);
  const auto rows = static_cast<uint32_t>(sequence.length_tokens % page_tokens);
  if (rows > 0) {
    entry.tail_filled_before = s.blocks.block(s.sequences.At(sequence, position)).filled_tokens;
  }
  if (entry.rewrite_from_tokens < sequence.length_tokens) {
    entry.write_first = static_cast<uint32_t>(entry.rewrite_from_tokens / page_tokens);
    if (!MayRewrite(s, sequence, entry.write_first)) {
      return {absl::StatusCode::kFailedPrecondition,
              "only draft tokens that no other sequence shares can be rewritten"};
    }
  }
  if (entry.append_tokens == 0) return {};
  entry.write_first = std::min(entry.write_first, position);
  if (rows > 0) {
    const Block& tail = s.blocks.block(s.sequences.At(sequence, position));
    if (!MayWriteInPlace(tail, rows) && !ReplaceTail(s, sequence, entry, position)) {
      return {absl::StatusCode::kResourceExhausted,
              "the block table is full; close or evict sequences"};
    }
  }
  while (uint64_t{sequence.blocks} * page_tokens < entry.length_after_tokens) {
    if (!Grow(s, sequence)) {
      return {absl::StatusCode::kResourceExhausted,
              "no room for more blocks in open sequences; close some, or raise limits.sequences"};
    }
  }
  sequence.length_tokens = entry.length_after_tokens;
  for (uint32_t i = position; i < sequence.blocks; ++i) {
    const uint64_t filled = entry.length_after_tokens - uint64_t{i} * page_tokens;
    s.blocks.block(s.sequences.At(sequence, i)).filled_tokens =
        static_cast<uint16_t>(std::min<uint64_t>(filled, page_tokens));
  }
  return {};
}

void UndoEntry(CoreState& s, EntryState& entry) {
  Sequence& sequence = *s.sequences.Find(entry.sequence);
  while (sequence.blocks > entry.blocks_before) DropReference(s, s.sequences.PopBack(sequence));
  sequence.length_tokens = entry.length_before_tokens;
  const uint32_t rows = static_cast<uint32_t>(entry.length_before_tokens % s.limits.page_tokens);
  const auto position = static_cast<uint32_t>(entry.length_before_tokens / s.limits.page_tokens);
  if (!entry.tail_target.is_none()) {
    s.sequences.Replace(sequence, position, entry.tail_source);
    DropReference(s, entry.tail_target);
    entry.tail_source = BlockIndex{};
    entry.tail_target = BlockIndex{};
  } else if (entry.append_tokens > 0 && rows > 0) {
    s.blocks.block(s.sequences.At(sequence, position)).filled_tokens = entry.tail_filled_before;
  }
  entry.write_first = kNoSlot;
}

}  // namespace

Refusal Admit(CoreState& s, Step& step) {
  KVP_CHECK(!step.admitted);
  for (uint32_t i = step.entry_first; i != kNoSlot; i = s.steps.entry(i).next) {
    const Refusal refusal = AdmitEntry(s, s.steps.entry(i));
    if (!refusal.refused()) continue;
    for (uint32_t undo = step.entry_first;; undo = s.steps.entry(undo).next) {
      UndoEntry(s, s.steps.entry(undo));
      if (undo == i) return refusal;
    }
  }
  step.admitted = true;
  return {};
}

void UndoAdmission(CoreState& s, Step& step) {
  KVP_CHECK(step.admitted);
  for (uint32_t i = step.entry_first; i != kNoSlot; i = s.steps.entry(i).next) {
    UndoEntry(s, s.steps.entry(i));
  }
  step.admitted = false;
  step.claimed = false;
}

bool ReplacesTail(const CoreState& s, const Step& step, const EntryState& entry,
                  const Sequence& sequence) {
  const auto rows = static_cast<uint32_t>(sequence.length_tokens % s.limits.page_tokens);
  if (entry.append_tokens == 0 || rows == 0) return false;
  const Block& tail = s.blocks.block(s.sequences.Back(sequence));
  if (step.entries > 1 && tail.references > 1) return true;  // Another entry may append first.
  return !MayWriteInPlace(tail, rows);
}

bool AppendsInPlace(const CoreState& s, const Step& step) {
  for (uint32_t i = step.entry_first; i != kNoSlot; i = s.steps.entry(i).next) {
    const EntryState& entry = s.steps.entry(i);
    if (entry.append_tokens == 0) continue;
    const Sequence& sequence = *s.sequences.Find(entry.sequence);
    const auto rows = static_cast<uint32_t>(sequence.length_tokens % s.limits.page_tokens);
    if (rows == 0 || rows + entry.append_tokens > s.limits.page_tokens) return false;
    if (!MayWriteInPlace(s.blocks.block(s.sequences.Back(sequence)), rows)) return false;
  }
  return true;
}

}  // namespace kvpager
