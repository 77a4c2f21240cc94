// tiers/nvme/frame_io.h
//
// What is the same for every way of doing the I/O: where the frames of a copy are, what happens to
// a frame before it is written and after it is read, and the counters.
//
// What is written to an encrypted tier is sealed into memory of its own (a bounce buffer), because
// the host copy stays good for a promotion.
//
// Thread-safety: any thread; each frame is in one operation at a time (E1).

#ifndef KVPAGER_TIERS_NVME_FRAME_IO_H_
#define KVPAGER_TIERS_NVME_FRAME_IO_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "memmgr/core/effect.h"
#include "tiers/host/host_arena.h"
#include "tiers/nvme/aligned_buffer.h"
#include "tiers/nvme/io_tap.h"
#include "tiers/nvme/nvme_executor.h"
#include "tiers/nvme/page_file.h"

namespace kvpager {

class FrameIo {
 public:
  // At most `writes_max` writes will be between PrepareWrite and Conclude at once.
  FrameIo(const NvmeExecutor::Options& options, uint32_t writes_max);

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
  // Of a write: from PrepareWrite to Conclude.
  std::byte* Buffer(const CopyOp& copy) const {
    return IsBounced(copy) ? BounceOf(copy) : arena_->frame(HostFrame(copy));
  }
  bool IsBounced(const CopyOp& copy) const { return sealer_ != nullptr && !IsRead(copy); }
  uint64_t OffsetBytes(const CopyOp& copy) const { return file_->OffsetOf(NvmeFrame(copy)); }

  // Right before the request goes to the kernel.
  void Begin(const CopyOp& copy) const {
    if (file_->tap() != nullptr) file_->tap()->Starts(RequestOf(copy));
  }

  // PrepareWrite has what it needs. False until a write is concluded.
  bool HasRoomForWrite();

  // Before a write: false if the host frame is not what its header says, or nobody has the key to
  // encrypt it with; else what Buffer returns is ready.
  bool PrepareWrite(const CopyOp& copy);

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

  std::byte* BounceOf(const CopyOp& copy) const {
    return bounces_->data() + size_t{bounce_of_[copy.source.value]} * frame_bytes_;
  }
  bool Seal(const CopyOp& copy);
  bool Verify(const CopyOp& copy) const;
  void GiveBounce(const CopyOp& copy);

  HostArena* arena_;
  PageFile* file_;
  const PageSealer* sealer_;  // Null: nothing is encrypted.
  uint32_t frame_bytes_;
  uint64_t fingerprint_;
  std::unique_ptr<AlignedBuffer> bounces_;  // Null without a sealer; as the rest here.
  std::vector<uint16_t> bounce_of_;         // By host frame, while it is being written.
  std::mutex bounces_mutex_;
  std::vector<uint16_t> bounces_free_;
  std::atomic<uint64_t> reads_{0};
  std::atomic<uint64_t> writes_{0};
  std::atomic<uint64_t> failed_{0};
  std::atomic<uint64_t> failed_in_row_{0};
  std::atomic<uint64_t> corrupt_{0};
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_FRAME_IO_H_
