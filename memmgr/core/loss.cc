#include "memmgr/core/loss.h"

#include <algorithm>
#include <cstdint>

#include "memmgr/core/planner.h"
#include "memmgr/core/step_queue.h"
#include "memmgr/core/stocks.h"

namespace kvpager {

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
    ++sequence.losses;
    sequence.cut_blocks = std::min(sequence.cut_blocks, walk.position());
    CutIfPossible(s, s.sequences.id_of(slot));
  }
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
