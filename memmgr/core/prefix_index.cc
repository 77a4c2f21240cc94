#include "memmgr/core/prefix_index.h"

#include <bit>
#include <cstddef>
#include <cstdint>

#include "memmgr/base/check.h"

namespace kvpager {

PrefixIndex::PrefixIndex(uint32_t blocks_max)
    : slots_(std::bit_ceil(size_t{blocks_max} * 2 + 2)), mask_(slots_.size() - 1) {}

BlockIndex PrefixIndex::Find(const BlockKey& key) const {
  for (size_t i = Home(key);; i = (i + 1) & mask_) {
    if (slots_[i].block.is_none()) return BlockIndex{};
    if (slots_[i].key == key) return slots_[i].block;
  }
}

void PrefixIndex::Insert(const BlockKey& key, BlockIndex block) {
  KVP_CHECK(!key.is_none());
  KVP_CHECK(!block.is_none());
  KVP_CHECK_LT(size_ * size_t{2}, slots_.size());
  size_t i = Home(key);
  for (; !slots_[i].block.is_none(); i = (i + 1) & mask_) KVP_CHECK(!(slots_[i].key == key));
  slots_[i] = {key, block};
  ++size_;
}

void PrefixIndex::Erase(const BlockKey& key) {
  size_t hole = Home(key);
  while (!(slots_[hole].key == key)) {
    KVP_CHECK(!slots_[hole].block.is_none());
    hole = (hole + 1) & mask_;
  }
  KVP_CHECK(!slots_[hole].block.is_none());
  // Moves back every later entry of the cluster that may live in the hole.
  for (size_t i = (hole + 1) & mask_; !slots_[i].block.is_none(); i = (i + 1) & mask_) {
    const size_t distance_home = (i - Home(slots_[i].key)) & mask_;
    const size_t distance_hole = (i - hole) & mask_;
    if (distance_home < distance_hole) continue;
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole] = Slot{};
  --size_;
}

}  // namespace kvpager
