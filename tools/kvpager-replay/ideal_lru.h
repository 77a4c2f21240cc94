// tools/kvpager-replay/ideal_lru.h
//
// What a cache without any friction would have hit: one tier of `places` blocks, LRU, nothing
// pinned, nothing in flight. A request hits its longest prefix that is there; then all its blocks
// are touched, the tail first, so that a head never goes before its tail.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_IDEAL_LRU_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_IDEAL_LRU_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "absl/types/span.h"

namespace kvpager::replay {

class IdealLru {
 public:
  explicit IdealLru(uint64_t places);

  // The blocks of one request, from its first on; returns how many of them are hit.
  uint64_t Serve(absl::Span<const uint64_t> blocks);

  uint64_t lookup_blocks() const { return lookup_blocks_; }
  uint64_t hit_blocks() const { return hit_blocks_; }
  double hit_ratio() const {
    return lookup_blocks_ == 0
               ? 0.0
               : static_cast<double>(hit_blocks_) / static_cast<double>(lookup_blocks_);
  }

 private:
  // A list through a table: newest at links_[0].next, oldest at links_[0].previous.
  struct Link {
    uint64_t block = 0;
    uint32_t next = 0;
    uint32_t previous = 0;
  };
  void Touch(uint64_t block);
  void Unlink(uint32_t index);
  void LinkAsNewest(uint32_t index);

  uint64_t places_;
  std::vector<Link> links_;  // [0] is the list's head.
  std::unordered_map<uint64_t, uint32_t> index_of_;
  uint64_t lookup_blocks_ = 0;
  uint64_t hit_blocks_ = 0;
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_IDEAL_LRU_H_
