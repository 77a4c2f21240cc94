// engine_plugin/attention_engine/chunks.h
//
// A batch in chunks: which blocks of which entries are attended together when not all of a group
// fits in the pool. A pure function of lengths.
//
//   entry 0 ################ entry 1 #### entry 2 ##########
//   chunks  0000000011111111          2222 2222333333
//
// Units: blocks. Thread-safety: values. Errors: none.

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_CHUNKS_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_CHUNKS_H_

#include <cstdint>
#include <vector>

#include "engine_plugin/attention_engine/batch.h"
#include "engine_plugin/attention_engine/windows.h"

namespace kvpager::attention {

struct ChunkPiece {
  int32_t entry = 0;
  uint32_t first_block = 0;
  uint32_t num_blocks = 0;
};

// Pieces of entries side by side, one of each (piece i is of entry pieces[0].entry + i), at most
// blocks_max blocks in all.
struct Chunk {
  std::vector<ChunkPiece> pieces;
};

struct ChunkOptions {
  uint32_t page_tokens = 0;
  uint32_t blocks_max = 0;  // Of one chunk; not 0.
  Window window;            // Blocks that no new token sees are left out.
};

// The blocks that the entries had before the pass.
std::vector<Chunk> ChunksOf(const Batch& batch, const ChunkOptions& options);

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_CHUNKS_H_
