#include "memmgr/core/loss.h"

#include <algorithm>
#include <cstdint>

#include "memmgr/core/planner.h"
#include "memmgr/core/step_queue.h"
#include "memmgr/core/stocks.h"

namespace kvpager {

namespace {

void MarkCut(CoreState& s, SequenceId id, uint32_t position) {
  Sequence& sequence = *s.sequences.Find(id);
  ++sequence.losses;
  sequence.cut_blocks = std::min(sequence.cut_blocks, position);
  CutIfPossible(s, id);
}

// The collecting step may have taken the block out of its sequence, to copy it as a tail.
void MarkCollecting(CoreState& s, BlockIndex index) {
  if (s.collecting == kNoSlot) return;
  ForEachEntry(s, s.steps.step(s.collecting), [&](const EntryState& entry, const Sequence&) {
    if (entry.tail_source == index) MarkCut(s, entry.sequence, entry.write_first);
  });
}

}  // namespace

void LoseBlock(CoreState& s, BlockIndex index) {
  Block& block = s.blocks.block(index);
  ++s.metrics.blocks_lost;
  s.progress = true;
  if (block.references == 0) {
    Discard(s, index);
    return;
  }
  if (block.named) {
    s.index.Erase(block.key);
    block.named = false;
  }
  if (block.durable) {
    block.durable = false;
    --s.durable_blocks;
  }
  ForgetEntry(s, index);
  for (uint32_t slot = 0; slot < s.sequences.slots(); ++slot) {
    Sequence& sequence = s.sequences.at_slot(slot);
    if (sequence.phase == SequencePhase::kFree) continue;
    SequenceTable::Walk walk(s.sequences, sequence, 0);
    while (walk.valid() && walk.block() != index) walk.Next();
    if (!walk.valid()) continue;
    MarkCut(s, s.sequences.id_of(slot), walk.position());
  }
  MarkCollecting(s, index);
}

namespace {

// Whether the collecting step names the sequence: it has pins behind the cut, perhaps.
bool Collects(CoreState& s, SequenceId id) {
  if (s.collecting == kNoSlot) return false;
  bool named = false;
  ForEachEntry(s, s.steps.step(s.collecting),
               [&](const EntryState& entry, const Sequence&) { named |= entry.sequence == id; });
  return named;
}

}  // namespace

void CutIfPossible(CoreState& s, SequenceId id) {
  Sequence* sequence = s.sequences.Find(id);
  if (sequence == nullptr || sequence->phase != SequencePhase::kOpen) return;
  if (sequence->cut_blocks == kNotCut || sequence->cut_queued) return;
  // A ready step may read behind the cut; a collecting one lets go first (collector.cc).
  if (sequence->steps_ready > 0 || Collects(s, id)) return;
  sequence->cut_queued = true;
  ++sequence->busy;
  s.PushJob({.kind = JobKind::kCut, .client = sequence->client, .sequence = id});
}

}  // namespace kvpager
