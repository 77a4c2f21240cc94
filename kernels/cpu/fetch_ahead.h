// kernels/cpu/fetch_ahead.h
//
// Fetches the K or V rows of the next block into the second level of cache while those of the block
// at hand are worked on: in the order in which they lie in memory, a line at a time. Pages lie
// in permuted frames, which hardware does not foresee, and the rows of one head alone are short
// pieces with gaps between them, at which memory is slower than at whole pages.
//
//   [page, token, head]  a run is a token, all of its heads     [page, head, token]  one row
//
// Units: bytes. Ownership: borrows the block. Thread-safety: none. Errors: none.

#ifndef KVPAGER_KERNELS_CPU_FETCH_AHEAD_H_
#define KVPAGER_KERNELS_CPU_FETCH_AHEAD_H_

#include <cstdint>

#include "hwy/base.h"
#include "kernels/dtype.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels::internal {

inline constexpr int64_t kLineBytes = 64;

class FetchAhead {
 public:
  // Nothing to fetch.
  FetchAhead() = default;

  // `rows` are the places of `tokens` rows of head 0 from `data` on.
  FetchAhead(const PagedKv& kv, const void* data, const PageStrides& strides, int32_t dim,
             const int64_t* rows, int32_t tokens)
      : base_(static_cast<const uint8_t*>(data)), rows_(rows), tokens_(tokens) {
    const auto element = static_cast<int64_t>(ElementBytes(kv.dtype));
    head_bytes_ = strides.head * element;
    run_bytes_ = dim * element;
    heads_left_ = kv.kv_heads;
    if (strides.head > strides.token) return;
    run_bytes_ += (kv.kv_heads - 1) * head_bytes_;
    heads_left_ = 1;
  }

  // The next `bytes`, as far as there are any; what is less than a line, the next time.
  // Inline, for a call would spill the sums.
  HWY_INLINE void Fetch(int64_t bytes) {
    if (heads_left_ == 0) return;
    for (owed_bytes_ += bytes; owed_bytes_ >= kLineBytes; owed_bytes_ -= kLineBytes) {
      __builtin_prefetch(base_ + rows_[token_] + at_, 0, 2);
      at_ += kLineBytes;
      if (at_ >= run_bytes_ && NextRun()) return;
    }
  }

 private:
  // Whether that was the last.
  HWY_INLINE bool NextRun() {
    at_ = 0;
    if (++token_ < tokens_) return false;
    token_ = 0;
    base_ += head_bytes_;
    return --heads_left_ == 0;
  }

  const uint8_t* base_ = nullptr;
  const int64_t* rows_ = nullptr;
  int32_t tokens_ = 0;
  int32_t token_ = 0;
  int32_t heads_left_ = 0;
  int64_t head_bytes_ = 0;
  int64_t run_bytes_ = 0;
  int64_t at_ = 0;
  int64_t owed_bytes_ = 0;
};

}  // namespace kvpager::kernels::internal

#endif  // KVPAGER_KERNELS_CPU_FETCH_AHEAD_H_
