// memmgr/base/free_map.h
//
// Which of n places are free: one bit each and a summary bit per 64, so that finding one costs a
// few instructions. Next-fit from a hint, so that neighbours are given out together.
//
// Thread-safety: none. No allocation after construction. O(n / 4096) worst case, O(1) usually.

#ifndef KVPAGER_MEMMGR_BASE_FREE_MAP_H_
#define KVPAGER_MEMMGR_BASE_FREE_MAP_H_

#include <bit>
#include <cstdint>
#include <vector>

#include "memmgr/base/check.h"

namespace kvpager {

class FreeMap {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  // All `size` places are free.
  explicit FreeMap(uint32_t size)
      : size_(size), free_count_(size), words_(size / 64 + 1, 0), summary_(size / 4096 + 1, 0) {
    for (uint32_t i = 0; i < size; ++i) SetBit(i);
  }

  uint32_t size() const { return size_; }
  uint32_t free_count() const { return free_count_; }
  bool is_free(uint32_t index) const {
    KVP_CHECK_LT(index, size_);
    return (words_[index / 64] >> (index % 64)) & 1;
  }

  // Takes the first free place at or after `hint`, wrapping around; kNone if all are taken.
  uint32_t Take(uint32_t hint = 0) {
    if (free_count_ == 0) return kNone;
    if (hint >= size_) hint = 0;
    uint32_t index = FindFrom(hint);
    if (index == kNone) index = FindFrom(0);
    KVP_CHECK(index != kNone);
    TakeExactly(index);
    return index;
  }

  // REQUIRES: `index` is free.
  void TakeExactly(uint32_t index) {
    KVP_CHECK(is_free(index));
    words_[index / 64] &= ~(uint64_t{1} << (index % 64));
    if (words_[index / 64] == 0) summary_[index / 4096] &= ~(uint64_t{1} << (index / 64 % 64));
    --free_count_;
  }

  // REQUIRES: `index` is taken.
  void Give(uint32_t index) {
    KVP_CHECK(!is_free(index));
    SetBit(index);
    ++free_count_;
  }

 private:
  void SetBit(uint32_t index) {
    words_[index / 64] |= uint64_t{1} << (index % 64);
    summary_[index / 4096] |= uint64_t{1} << (index / 64 % 64);
  }

  uint32_t FindFrom(uint32_t start) const {
    uint32_t word = start / 64;
    uint64_t bits = words_[word] & (~uint64_t{0} << (start % 64));
    if (bits != 0) return word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
    // The rest of this summary word, then whole summary words.
    uint32_t block = (word + 1) / 64;
    if (block >= summary_.size()) return kNone;
    uint64_t candidates = summary_[block] & (~uint64_t{0} << ((word + 1) % 64));
    while (candidates == 0) {
      if (++block >= summary_.size()) return kNone;
      candidates = summary_[block];
    }
    word = block * 64 + static_cast<uint32_t>(std::countr_zero(candidates));
    return word * 64 + static_cast<uint32_t>(std::countr_zero(words_[word]));
  }

  uint32_t size_;
  uint32_t free_count_;
  std::vector<uint64_t> words_;    // Bit set: free.
  std::vector<uint64_t> summary_;  // Bit set: the word has a free bit.
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_BASE_FREE_MAP_H_
