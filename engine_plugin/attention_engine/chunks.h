// engine_plugin/attention_engine/chunks.h
//
// A batch in chunks that fit a window: which blocks of which entries are attended together when not
// all of a group fits in the pool. A pure function of lengths and the window.
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

namespace kvpager::attention {

struct ChunkPiece {
  int32_t entry = 0;
  uint32_t first_block = 0;
  uint32_t num_blocks = 0;
};

// Pieces of entries that follow one another, at most `window_blocks` blocks in all.
struct Chunk {
  std::vector<ChunkPiece> pieces;
};

// The blocks that the entries had before the pass. REQUIRES: window_blocks > 0.
std::vector<Chunk> ChunksOf(const Batch& batch, uint32_t page_tokens, uint32_t window_blocks);

}  // namespace kvpager::attention

#endif  // KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_CHUNKS_H_
