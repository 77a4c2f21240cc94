// tiers/host/host_arena.h
//
// The host tier's memory: one memfd, mapped once, that holds all host frames. It is also the
// staging area for NVMe, so a frame is laid out as on disk:
//
//   frame i, at i * frame_bytes:   | payload, padded to 4096 | header, 4096 |
//
// Huge pages where they are reserved, else ordinary pages (transparent huge pages if the kernel
// grants them); detail() says which and why. All of it is touched at creation, by a few threads
// that are joined before Create returns, so that a shortage shows at start and not as a fault in
// the middle of a copy. fd() is sealed against shrinking, growing and new writable mappings: an
// engine that receives it can only read.
//
// Ownership: the arena owns the mapping and the descriptor. Thread-safety: addresses may be read
// from any thread; who may touch which frame is the core's business (E1).

#ifndef KVPAGER_TIERS_HOST_HOST_ARENA_H_
#define KVPAGER_TIERS_HOST_HOST_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "memmgr/base/check.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/ids.h"

namespace kvpager {

enum class HugePages : uint8_t { kTry, kNever };

class HostArena {
 public:
  struct Options {
    Geometry geometry;
    uint32_t frames = 0;
    uint32_t touch_threads = 4;  // 0: on the caller's thread.
    HugePages huge_pages = HugePages::kTry;
  };

  // kResourceExhausted, saying how much was asked for, if the memory is not to be had.
  static absl::StatusOr<std::unique_ptr<HostArena>> Create(const Options& options);
  ~HostArena();
  HostArena(const HostArena&) = delete;
  HostArena& operator=(const HostArena&) = delete;

  std::byte* base() const { return base_; }
  uint64_t bytes() const { return uint64_t{frames_} * frame_bytes_; }  // Rounded up in the memfd.
  uint32_t frames() const { return frames_; }
  uint64_t frame_bytes() const { return frame_bytes_; }
  uint64_t payload_bytes() const { return payload_bytes_; }  // Without the padding.
  int fd() const { return fd_; }
  std::string_view detail() const { return detail_; }

  std::byte* frame(FrameIndex index) const {
    KVP_CHECK_LT(index.value, frames_);
    return base_ + uint64_t{index.value} * frame_bytes_;
  }
  absl::Span<std::byte> payload(FrameIndex index) const { return {frame(index), payload_bytes_}; }
  std::byte* header(FrameIndex index) const {
    return frame(index) + frame_bytes_ - kFrameHeaderBytes;
  }

 private:
  HostArena() = default;

  int fd_ = -1;
  std::byte* base_ = nullptr;
  uint64_t mapped_bytes_ = 0;
  uint64_t frame_bytes_ = 0;
  uint64_t payload_bytes_ = 0;
  uint32_t frames_ = 0;
  std::string detail_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_HOST_HOST_ARENA_H_
