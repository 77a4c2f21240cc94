#include "tiers/nvme/frame_io.h"

#include <errno.h>

#include <cstddef>
#include <cstdint>

#include "memmgr/base/crash_point.h"
#include "memmgr/base/crc32c.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/units.h"
#include "tiers/nvme/frame_header.h"

namespace kvpager {
namespace {

FrameIdentity IdentityOf(const CopyOp& copy) {
  return {.key = copy.key, .parent_key = copy.parent_key, .stamp = copy.stamp, .group = copy.group};
}

// Says nothing of the device.
bool IsForWantOfRoom(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

}  // namespace

FrameIo::FrameIo(HostArena* arena, PageFile* file)
    : arena_(arena),
      file_(file),
      frame_bytes_(CheckedCast<uint32_t>(file->frame_bytes())),
      fingerprint_(Fingerprint(file->geometry())) {}

bool FrameIo::PrepareWrite(const CopyOp& copy) const {
  std::byte* header = arena_->header(copy.source);
  if (!HostPartNames(header, copy.page, arena_->payload_bytes())) return false;
  if (PayloadCrc(header) != Crc32c(arena_->payload(copy.source))) return false;
  SealForNvme(header, fingerprint_, IdentityOf(copy));
  return true;
}

Completion FrameIo::ConcludeCorrupt(const CopyOp& copy) {
  corrupt_.fetch_add(1, std::memory_order_relaxed);
  return {.op = copy.op, .outcome = Outcome::kCorrupt, .os_error = 0};
}

Completion FrameIo::Conclude(const CopyOp& copy, int64_t result) {
  if (file_->tap() != nullptr) result = file_->tap()->Ends(RequestOf(copy), result);
  if (result != int64_t{frame_bytes_}) {
    failed_.fetch_add(1, std::memory_order_relaxed);
    // A short transfer has no number of its own.
    const int error = result < 0 ? static_cast<int>(-result) : EIO;
    if (!IsForWantOfRoom(error)) failed_in_row_.fetch_add(1, std::memory_order_relaxed);
    return {.op = copy.op, .outcome = Outcome::kFailed, .os_error = error};
  }
  failed_in_row_.store(0, std::memory_order_relaxed);
  if (!IsRead(copy)) {
    KVP_CRASH_POINT("nvme_write_completed");
    writes_.fetch_add(1, std::memory_order_relaxed);
    return {.op = copy.op};
  }
  reads_.fetch_add(1, std::memory_order_relaxed);
  std::byte* header = arena_->header(copy.target);
  if (!VerifyFrame(header, fingerprint_, IdentityOf(copy), arena_->payload(copy.target))) {
    return ConcludeCorrupt(copy);
  }
  SetPageIndex(header, copy.page);
  return {.op = copy.op};
}

NvmeStats FrameIo::stats() const {
  NvmeStats stats;
  stats.reads = reads_.load(std::memory_order_relaxed);
  stats.read_bytes = stats.reads * frame_bytes_;
  stats.writes = writes_.load(std::memory_order_relaxed);
  stats.written_bytes = stats.writes * frame_bytes_;
  stats.failed = failed_.load(std::memory_order_relaxed);
  stats.failed_in_row = failed_in_row_.load(std::memory_order_relaxed);
  stats.corrupt = corrupt_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace kvpager
