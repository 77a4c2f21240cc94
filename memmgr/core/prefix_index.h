// memmgr/core/prefix_index.h
//
// BlockKey -> named block: open addressing with linear probing and backward-shift deletion, at most
// half full. Never iterated, so the order of slots never shows. Keys are truncated SHA-256, hence
// their own hash.
//
// Thread-safety: none. No allocation after construction. O(1).

#ifndef KVPAGER_MEMMGR_CORE_PREFIX_INDEX_H_
#define KVPAGER_MEMMGR_CORE_PREFIX_INDEX_H_

#include <cstdint>
#include <vector>

#include "memmgr/base/ids.h"

namespace kvpager {

class PrefixIndex {
 public:
  explicit PrefixIndex(uint32_t blocks_max);

  BlockIndex Find(const BlockKey& key) const;          // None if unknown.
  void Insert(const BlockKey& key, BlockIndex block);  // REQUIRES: key unknown, not none.
  void Erase(const BlockKey& key);                     // REQUIRES: key known.
  uint32_t size() const { return size_; }

 private:
  struct Slot {
    BlockKey key;
    BlockIndex block;
  };
  size_t Home(const BlockKey& key) const { return key.words[0] & mask_; }

  std::vector<Slot> slots_;
  size_t mask_;
  uint32_t size_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_PREFIX_INDEX_H_
