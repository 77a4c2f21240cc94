// memmgr/core/sequence_table.h
//
// SequenceTable: which blocks a sequence consists of, in order, in chunks of a shared pool.
//
//   sequence -> chunk <-> chunk <-> chunk       each: kBlocksPerChunk block references
//
// It stores; what a change means for blocks (references, release) is sequences.h.
//
// Thread-safety: none. No allocation after construction. Push and pop O(1), at() O(position / 32).

#ifndef KVPAGER_MEMMGR_CORE_SEQUENCE_TABLE_H_
#define KVPAGER_MEMMGR_CORE_SEQUENCE_TABLE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"
#include "memmgr/core/limits.h"

namespace kvpager {

inline constexpr uint32_t kBlocksPerChunk = 32;
inline constexpr uint32_t kNoChunk = ~uint32_t{0};
inline constexpr uint32_t kNotCut = ~uint32_t{0};

enum class SequencePhase : uint8_t { kFree, kOpen, kClosing };

struct Sequence {
  ClientId client;  // None: the core's own (a prefetch by keys).
  NamespaceId name_space;
  SequencePhase phase = SequencePhase::kFree;
  uint32_t generation = 0;
  uint64_t length_tokens = 0;
  uint64_t accepted_tokens = 0;  // Tokens behind these are drafts: their blocks stay open.
  uint64_t unseen_tokens = 0;    // Up to here steps without a message have said that they wrote.
  uint32_t blocks = 0;
  uint32_t chunk_first = kNoChunk;
  uint32_t chunk_last = kNoChunk;
  uint32_t steps = 0;             // Waiting, collecting or ready steps that name it.
  uint32_t steps_ready = 0;       // Those that are ready: what they read may not be cut.
  uint32_t busy = 0;              // Jobs that concern it.
  uint32_t deferred = 0;          // Commands that wait for a ticket, or behind one that does.
  uint32_t cut_blocks = kNotCut;  // Blocks at and after this one are lost; cut when steps allow.
  bool closing = false;           // A close waits for its ticket: nothing else is taken.
  bool cut_queued = false;        // The job that cuts it is on its way.
  uint32_t losses = 0;            // How often it was found to be cut.
  uint64_t mark = 0;              // Scratch: the input, or the pass, that saw it last.
  Instant touched;                // When all its blocks were last touched.
  bool suspended = false;
};

class SequenceTable {
 public:
  explicit SequenceTable(const Limits& limits);

  // none if all slots are taken.
  SequenceId Open(ClientId client, NamespaceId name_space);
  // REQUIRES: no blocks left.
  void Free(SequenceId id);

  Sequence* Find(SequenceId id);  // nullptr if it never was, or is no more.
  const Sequence* Find(SequenceId id) const;
  Sequence& at_slot(uint32_t slot) { return sequences_[slot]; }
  const Sequence& at_slot(uint32_t slot) const { return sequences_[slot]; }
  SequenceId id_of(uint32_t slot) const {
    return SequenceId{uint64_t{sequences_[slot].generation} << 32 | slot};
  }
  static uint32_t slot_of(SequenceId id) { return static_cast<uint32_t>(id.value); }
  uint32_t slots() const { return static_cast<uint32_t>(sequences_.size()); }
  uint32_t open_count() const { return open_count_; }
  uint32_t chunks_free() const { return chunks_free_; }
  uint32_t chunks_reserved() const { return chunks_reserved_; }

  // False if the chunk pool is empty, but for what is reserved.
  bool PushBack(Sequence& sequence, BlockIndex block);
  // Keeps room for one later PushReserved; false if there is none.
  bool Reserve();
  void Unreserve();
  void PushReserved(Sequence& sequence, BlockIndex block);
  BlockIndex PopBack(Sequence& sequence);
  BlockIndex Back(const Sequence& sequence) const;
  BlockIndex At(const Sequence& sequence, uint32_t position) const;
  void Replace(Sequence& sequence, uint32_t position, BlockIndex block);

  // Walks a block list in either direction, O(1) a step after an O(position / 32) start.
  class Walk {
   public:
    Walk(const SequenceTable& table, const Sequence& sequence, uint32_t position);
    BlockIndex block() const { return table_->chunks_[chunk_].blocks[position_ % kBlocksPerChunk]; }
    uint32_t position() const { return position_; }
    void Next();
    void Previous();
    bool valid() const { return chunk_ != kNoChunk; }

   private:
    const SequenceTable* table_;
    uint32_t chunk_;
    uint32_t position_;
    uint32_t blocks_;
  };

 private:
  struct Chunk {
    std::array<BlockIndex, kBlocksPerChunk> blocks;
    uint32_t next = kNoChunk;
    uint32_t previous = kNoChunk;
  };

  uint32_t ChunkOf(const Sequence& sequence, uint32_t position) const;

  std::vector<Sequence> sequences_;
  std::vector<uint32_t> slots_free_;  // A stack, lowest slot on top at start.
  std::vector<Chunk> chunks_;
  uint32_t chunk_free_ = kNoChunk;  // Threaded through Chunk::next.
  uint32_t chunks_free_ = 0;
  uint32_t chunks_reserved_ = 0;
  uint32_t open_count_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_SEQUENCE_TABLE_H_
