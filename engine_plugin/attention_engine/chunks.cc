#include "engine_plugin/attention_engine/chunks.h"

#include <algorithm>

#include "memmgr/base/units.h"

namespace kvpager::attention {
namespace {

struct Blocks {
  uint32_t first = 0;
  uint32_t end = 0;
};

class Builder {
 public:
  explicit Builder(uint32_t blocks_max) : blocks_max_(blocks_max) {}

  void Add(int32_t entry, Blocks blocks) {
    if (blocks.first >= blocks.end) return;
    // In pieces of the same size, so that the last is no stub.
    const auto pieces = static_cast<uint32_t>(CeilDiv(blocks.end - blocks.first, blocks_max_));
    for (uint32_t first = blocks.first, left = pieces; first < blocks.end; --left) {
      const auto count = static_cast<uint32_t>(CeilDiv(blocks.end - first, left));
      // A chunk's pieces are of entries side by side: of each one, once, and none left out between.
      const bool next = !chunks_.empty() && chunks_.back().pieces.back().entry == entry - 1;
      if (count > room_ || !next) {
        chunks_.emplace_back();
        room_ = blocks_max_;
      }
      chunks_.back().pieces.push_back({entry, first, count});
      room_ -= count;
      first += count;
    }
  }

  std::vector<Chunk> Take() { return std::move(chunks_); }

 private:
  const uint32_t blocks_max_;
  uint32_t room_ = 0;
  std::vector<Chunk> chunks_;
};

}  // namespace

std::vector<Chunk> ChunksOf(const Batch& batch, const ChunkOptions& options) {
  Builder builder(options.blocks_max);
  for (int32_t entry = 0; entry < batch.size(); ++entry) {
    const int64_t before = batch.before_tokens[static_cast<size_t>(entry)];
    const auto end = static_cast<uint32_t>(
        CeilDiv(static_cast<uint64_t>(before), uint64_t{options.page_tokens}));
    if (options.window.tokens == 0) {
      builder.Add(entry, {0, end});
      continue;
    }
    // The first new token looks back furthest, and counts itself.
    const int64_t seen_first = std::max<int64_t>(0, before + 1 - options.window.tokens);
    const int64_t sinks = std::min(options.window.sinks, before);
    const auto sink_end =
        static_cast<uint32_t>(CeilDiv(static_cast<uint64_t>(sinks), uint64_t{options.page_tokens}));
    const auto first = static_cast<uint32_t>(seen_first / options.page_tokens);
    if (first <= sink_end) {
      builder.Add(entry, {0, end});
    } else {
      builder.Add(entry, {0, sink_end});
      builder.Add(entry, {first, end});
    }
  }
  return builder.Take();
}

}  // namespace kvpager::attention
