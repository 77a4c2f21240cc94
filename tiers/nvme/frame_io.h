// tiers/nvme/frame_io.h
//
// What is the same for every way of doing the I/O: where the frames of a copy are, what happens to
// a frame before it is written and after it is read, and the counters.
//
// Thread-safety: any thread; each frame is in one operation at a time (E1).

#ifndef KVPAGER_TIERS_NVME_FRAME_IO_H_
#define KVPAGER_TIERS_NVME_FRAME_IO_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memmgr/core/effect.h"
#include "tiers/host/host_arena.h"
#include "tiers/nvme/io_tap.h"
#include "tiers/nvme/nvme_executor.h"
#include "tiers/nvme/page_file.h"

namespace kvpager {

class FrameIo {
 public:
  FrameIo(HostArena* arena, PageFile* file);

  HostArena& arena() const { return *arena_; }
  int fd() const { return file_->fd(); }
  uint32_t frame_bytes() const { return frame_bytes_; }
  static bool IsRead(const CopyOp& copy) { return copy.channel == Channel::kNvmeToHost; }
  FrameIndex HostFrame(const CopyOp& copy) const {
    return IsRead(copy) ? copy.target : copy.source;
  }
  FrameIndex NvmeFrame(const CopyOp& copy) const {
    return IsRead(copy) ? copy.source : copy.target;
  }
  std::byte* Buffer(const CopyOp& copy) const { return arena_->frame(HostFrame(copy)); }
  uint64_t OffsetBytes(const CopyOp& copy) const { return file_->OffsetOf(NvmeFrame(copy)); }

  // Right before the request goes to the kernel.
  void Begin(const CopyOp& copy) const {
    if (file_->tap() != nullptr) file_->tap()->Starts(RequestOf(copy));
  }

  // Before a write: false if the host frame is not what its header says; else the header is ready.
  bool PrepareWrite(const CopyOp& copy) const;

  // After the request: what to report. `result` is bytes moved or -errno.
  Completion Conclude(const CopyOp& copy, int64_t result);

  // For a write that PrepareWrite refused.
  Completion ConcludeCorrupt(const CopyOp& copy);

  NvmeStats stats() const;

 private:
  IoRequest RequestOf(const CopyOp& copy) const {
    return {.write = !IsRead(copy),
            .offset_bytes = OffsetBytes(copy),
            .bytes = frame_bytes_,
            .buffer = Buffer(copy)};
  }

  HostArena* arena_;
  PageFile* file_;
  uint32_t frame_bytes_;
  uint64_t fingerprint_;
  std::atomic<uint64_t> reads_{0};
  std::atomic<uint64_t> writes_{0};
  std::atomic<uint64_t> failed_{0};
  std::atomic<uint64_t> failed_in_row_{0};
  std::atomic<uint64_t> corrupt_{0};
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_FRAME_IO_H_
