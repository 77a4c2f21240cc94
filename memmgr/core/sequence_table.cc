#include "memmgr/core/sequence_table.h"

#include <cstdint>

#include "memmgr/base/check.h"

namespace kvpager {

SequenceTable::SequenceTable(const Limits& limits)
    : sequences_(limits.sequences_max), chunks_(limits.sequence_chunks_max) {
  slots_free_.reserve(sequences_.size());
  for (uint32_t slot = limits.sequences_max; slot > 0; --slot) slots_free_.push_back(slot - 1);
  for (uint32_t chunk = limits.sequence_chunks_max; chunk > 0; --chunk) {
    chunks_[chunk - 1].next = chunk_free_;
    chunk_free_ = chunk - 1;
  }
  chunks_free_ = limits.sequence_chunks_max;
}

SequenceId SequenceTable::Open(ClientId client, NamespaceId name_space) {
  if (slots_free_.empty()) return SequenceId{};
  const uint32_t slot = slots_free_.back();
  slots_free_.pop_back();
  Sequence& fresh = sequences_[slot];
  const uint32_t generation = fresh.generation + 1;  // So that an id is never 0.
  fresh = Sequence{};
  fresh.generation = generation;
  fresh.client = client;
  fresh.name_space = name_space;
  fresh.phase = SequencePhase::kOpen;
  ++open_count_;
  return id_of(slot);
}

void SequenceTable::Free(SequenceId id) {
  Sequence* gone = Find(id);
  KVP_CHECK(gone != nullptr);
  KVP_CHECK_EQ(gone->blocks, 0u);
  KVP_CHECK_EQ(gone->steps, 0u);
  KVP_CHECK_EQ(gone->busy, 0u);
  KVP_CHECK_EQ(gone->deferred, 0u);
  gone->phase = SequencePhase::kFree;
  slots_free_.push_back(slot_of(id));
  --open_count_;
}

const Sequence* SequenceTable::Find(SequenceId id) const {
  const uint32_t slot = slot_of(id);
  if (slot >= sequences_.size()) return nullptr;
  const Sequence& candidate = sequences_[slot];
  if (candidate.phase == SequencePhase::kFree) return nullptr;
  return id_of(slot) == id ? &candidate : nullptr;
}

Sequence* SequenceTable::Find(SequenceId id) {
  return const_cast<Sequence*>(static_cast<const SequenceTable*>(this)->Find(id));
}

bool SequenceTable::PushBack(Sequence& sequence, BlockIndex block) {
  if (sequence.blocks % kBlocksPerChunk == 0) {
    if (chunks_free_ <= chunks_reserved_) return false;
    const uint32_t chunk = chunk_free_;
    chunk_free_ = chunks_[chunk].next;
    --chunks_free_;
    chunks_[chunk].next = kNoChunk;
    chunks_[chunk].previous = sequence.chunk_last;
    if (sequence.chunk_last == kNoChunk) {
      sequence.chunk_first = chunk;
    } else {
      chunks_[sequence.chunk_last].next = chunk;
    }
    sequence.chunk_last = chunk;
  }
  chunks_[sequence.chunk_last].blocks[sequence.blocks % kBlocksPerChunk] = block;
  ++sequence.blocks;
  return true;
}

bool SequenceTable::Reserve() {
  if (chunks_free_ <= chunks_reserved_) return false;
  ++chunks_reserved_;
  return true;
}

void SequenceTable::Unreserve() {
  KVP_CHECK_GT(chunks_reserved_, 0u);
  --chunks_reserved_;
}

void SequenceTable::PushReserved(Sequence& sequence, BlockIndex block) {
  Unreserve();
  const bool pushed = PushBack(sequence, block);
  KVP_CHECK(pushed);
}

BlockIndex SequenceTable::PopBack(Sequence& sequence) {
  KVP_CHECK_GT(sequence.blocks, 0u);
  const BlockIndex block = Back(sequence);
  --sequence.blocks;
  if (sequence.blocks % kBlocksPerChunk == 0) {
    const uint32_t chunk = sequence.chunk_last;
    sequence.chunk_last = chunks_[chunk].previous;
    if (sequence.chunk_last == kNoChunk) {
      sequence.chunk_first = kNoChunk;
    } else {
      chunks_[sequence.chunk_last].next = kNoChunk;
    }
    chunks_[chunk].next = chunk_free_;
    chunk_free_ = chunk;
    ++chunks_free_;
  }
  return block;
}

BlockIndex SequenceTable::Back(const Sequence& sequence) const {
  KVP_CHECK_GT(sequence.blocks, 0u);
  return chunks_[sequence.chunk_last].blocks[(sequence.blocks - 1) % kBlocksPerChunk];
}

uint32_t SequenceTable::ChunkOf(const Sequence& sequence, uint32_t position) const {
  KVP_CHECK_LT(position, sequence.blocks);
  const uint32_t hops_forward = position / kBlocksPerChunk;
  const uint32_t hops_back = (sequence.blocks - 1) / kBlocksPerChunk - hops_forward;
  uint32_t chunk = hops_forward <= hops_back ? sequence.chunk_first : sequence.chunk_last;
  if (hops_forward <= hops_back) {
    for (uint32_t hop = 0; hop < hops_forward; ++hop) chunk = chunks_[chunk].next;
  } else {
    for (uint32_t hop = 0; hop < hops_back; ++hop) chunk = chunks_[chunk].previous;
  }
  return chunk;
}

BlockIndex SequenceTable::At(const Sequence& sequence, uint32_t position) const {
  return chunks_[ChunkOf(sequence, position)].blocks[position % kBlocksPerChunk];
}

void SequenceTable::Replace(Sequence& sequence, uint32_t position, BlockIndex block) {
  chunks_[ChunkOf(sequence, position)].blocks[position % kBlocksPerChunk] = block;
}

SequenceTable::Walk::Walk(const SequenceTable& table, const Sequence& sequence, uint32_t position)
    : table_(&table),
      chunk_(position < sequence.blocks ? table.ChunkOf(sequence, position) : kNoChunk),
      position_(position),
      blocks_(sequence.blocks) {}

void SequenceTable::Walk::Next() {
  if (++position_ >= blocks_) {
    chunk_ = kNoChunk;
  } else if (position_ % kBlocksPerChunk == 0) {
    chunk_ = table_->chunks_[chunk_].next;
  }
}

void SequenceTable::Walk::Previous() {
  if (position_ == 0) {
    chunk_ = kNoChunk;
    return;
  }
  if (position_ % kBlocksPerChunk == 0) chunk_ = table_->chunks_[chunk_].previous;
  --position_;
}

}  // namespace kvpager
