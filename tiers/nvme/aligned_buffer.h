// tiers/nvme/aligned_buffer.h
//
// Zeroed memory that direct I/O accepts: aligned to kFrameAlignment.

#ifndef KVPAGER_TIERS_NVME_ALIGNED_BUFFER_H_
#define KVPAGER_TIERS_NVME_ALIGNED_BUFFER_H_

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "memmgr/base/check.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/units.h"

namespace kvpager {

class AlignedBuffer {
 public:
  explicit AlignedBuffer(size_t bytes)
      : bytes_(AlignUp(bytes, kFrameAlignment)),
        data_(static_cast<std::byte*>(std::aligned_alloc(kFrameAlignment, bytes_))) {
    KVP_CHECK(data_ != nullptr);
    std::memset(data_, 0, bytes_);
  }
  ~AlignedBuffer() { std::free(data_); }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  std::byte* data() { return data_; }
  size_t size() const { return bytes_; }

 private:
  size_t bytes_;
  std::byte* data_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_ALIGNED_BUFFER_H_
