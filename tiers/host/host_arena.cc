#include "tiers/host/host_arena.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"
#include "tiers/host/shared_memory.h"

#ifndef F_SEAL_FUTURE_WRITE  // Linux 5.1; glibc of Debian 12 hides it without _GNU_SOURCE.
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace kvpager {
namespace {

// From now on others can map the memory for reading only; our own mapping stays writable.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;

// Huge pages, sealed; false if they are not to be had.
bool MakeHuge(SharedMemoryOptions options, SharedMemory& memory) {
  options.pages = MemoryPages::kHuge;
  auto made = MakeSharedMemory(options);
  if (!made.ok()) return false;
  if (Seal(*made, kSeals)) {
    memory = *made;
    return true;
  }
  ReleaseSharedMemory(*made);
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HostArena>> HostArena::Create(const Options& options) {
  const SharedMemoryOptions memory_options{
      .name = "kvpager-host",
      .bytes = options.frames * options.geometry.frame_bytes_host(),
      .touch_threads = options.touch_threads};
  if (options.frames == 0) {
    return absl::InvalidArgumentError("the host tier needs at least one frame");
  }
  auto arena = std::unique_ptr<HostArena>(new HostArena());
  SharedMemory memory;
  std::string reason = "not asked for";
  if (options.huge_pages == HugePages::kTry) {
    if (MakeHuge(memory_options, memory)) {
      arena->detail_ = "huge pages of 2 MiB";
    } else {
      reason = absl::StrCat("fewer than the ", CeilDiv(memory_options.bytes, kHugePageBytes),
                            " needed can be had (vm.nr_hugepages)");
    }
  }
  if (memory.base == nullptr) {
    KVP_ASSIGN_OR_RETURN(memory, MakeSharedMemory(memory_options));
    arena->detail_ = absl::StrCat("ordinary pages; huge pages: ", reason);
  }
  arena->fd_ = memory.fd;
  arena->base_ = memory.base;
  arena->mapped_bytes_ = memory.bytes;
  arena->frame_bytes_ = options.geometry.frame_bytes_host();
  arena->payload_bytes_ = options.geometry.payload_bytes();
  arena->frames_ = options.frames;
  if ((fcntl(memory.fd, F_GET_SEALS) & kSeals) != kSeals && !Seal(memory, kSeals)) {
    return absl::UnavailableError(
        "host arena: this kernel cannot seal shared memory against writing (Linux 5.1 or newer is "
        "needed), so engines could change pages behind the pager's back");
  }
  return arena;
}

HostArena::~HostArena() {
  SharedMemory memory{.fd = fd_, .base = base_, .bytes = mapped_bytes_};
  ReleaseSharedMemory(memory);
}

}  // namespace kvpager
