#include "engine_plugin/attention_engine/chunks.h"

#include <algorithm>

#include "memmgr/base/units.h"

namespace kvpager::attention {

std::vector<Chunk> ChunksOf(const Batch& batch, uint32_t page_tokens, uint32_t window_blocks) {
  std::vector<Chunk> chunks;
  uint32_t room = 0;
  for (int32_t entry = 0; entry < batch.size(); ++entry) {
    const auto before = static_cast<uint64_t>(batch.before_tokens[static_cast<size_t>(entry)]);
    const auto blocks = static_cast<uint32_t>(CeilDiv(before, uint64_t{page_tokens}));
    // In pieces of the same size, so that the last is no stub.
    const uint32_t pieces = static_cast<uint32_t>(CeilDiv(blocks, window_blocks));
    for (uint32_t first = 0, left = pieces; first < blocks; --left) {
      const uint32_t count = static_cast<uint32_t>(CeilDiv(blocks - first, left));
      if (count > room) {
        chunks.emplace_back();
        room = window_blocks;
      }
      chunks.back().pieces.push_back({entry, first, count});
      room -= count;
      first += count;
    }
  }
  return chunks;
}

}  // namespace kvpager::attention
