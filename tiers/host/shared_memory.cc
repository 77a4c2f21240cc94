#include "tiers/host/shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/base/units.h"
#include "tiers/worker_thread.h"

#ifndef MADV_POPULATE_WRITE  // Linux 5.14; older headers lack it.
#define MADV_POPULATE_WRITE 23
#endif

namespace kvpager {
namespace {

constexpr uint64_t kTouchSliceBytes = 32 * kMiB;

// The number in the first line of the file that has `format`; 0 if none has.
uint64_t ReadNumber(const char* path, const char* format) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return 0;
  char line[128];
  unsigned long long number = 0;
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::sscanf(line, format, &number) == 1) break;
  }
  std::fclose(file);
  return uint64_t{number};
}

// What can be had without swapping, and what the control group allows at all; 0 if neither is
// known. (A group without a limit says "max", which is no number.)
uint64_t AvailableBytes() {
  const uint64_t available_bytes = ReadNumber("/proc/meminfo", "MemAvailable: %llu kB") * kKiB;
  const uint64_t group_bytes = ReadNumber("/sys/fs/cgroup/memory.max", "%llu");
  if (group_bytes == 0 || available_bytes == 0) return std::max(group_bytes, available_bytes);
  return std::min(group_bytes, available_bytes);
}

absl::Status NoMemory(const SharedMemoryOptions& options, const std::string& reason) {
  return absl::ResourceExhaustedError(
      absl::StrCat(options.name, ": cannot have ", options.bytes, " bytes of memory: ", reason,
                   "; make this tier smaller or the machine's free memory larger"));
}

// Slices of the mapping, taken by whoever is next.
struct TouchWork {
  std::byte* base = nullptr;
  uint64_t bytes = 0;
  std::atomic<uint64_t> next{0};
  std::atomic<int> error{0};

  void Run() {
    while (error.load() == 0) {
      const uint64_t offset = next.fetch_add(kTouchSliceBytes);
      if (offset >= bytes) return;
      Touch(base + offset, std::min(kTouchSliceBytes, bytes - offset));
    }
  }

  void Touch(std::byte* slice, uint64_t slice_bytes) {
    if (madvise(slice, slice_bytes, MADV_POPULATE_WRITE) == 0) return;
    if (errno != EINVAL) {
      error.store(errno);
      return;
    }
    const uint64_t page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    for (uint64_t at = 0; at < slice_bytes; at += page_bytes) {
      *const_cast<volatile std::byte*>(slice + at) = std::byte{0};
    }
  }
};

// 0 or an errno.
int TouchAll(const SharedMemory& memory, uint32_t threads) {
  TouchWork work;
  work.base = memory.base;
  work.bytes = memory.bytes;
  const uint64_t slices = CeilDiv(memory.bytes, kTouchSliceBytes);
  std::deque<WorkerThread> helpers;
  for (uint64_t i = 1; i < std::min<uint64_t>(threads, slices); ++i) {
    helpers.emplace_back();
    if (!helpers.back().Start<TouchWork, &TouchWork::Run>("kvp-touch", &work).ok()) break;
  }
  work.Run();
  helpers.clear();  // Joins.
  return work.error.load();
}

}  // namespace

absl::StatusOr<SharedMemory> MakeSharedMemory(const SharedMemoryOptions& options) {
  const bool huge = options.pages == MemoryPages::kHuge;
  const uint64_t available_bytes = AvailableBytes();
  // Without this check the kernel would kill somebody while the pages are touched.
  if (!huge && available_bytes != 0 && options.bytes > available_bytes) {
    return NoMemory(options, absl::StrCat("only ", available_bytes, " bytes are available"));
  }
  SharedMemory memory;
  memory.bytes = AlignUp(options.bytes, kHugePageBytes);
  memory.fd =
      memfd_create(options.name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0));
  if (memory.fd < 0) return NoMemory(options, std::strerror(errno));
  int error = 0;
  if (ftruncate(memory.fd, static_cast<off_t>(memory.bytes)) != 0) error = errno;
  if (error == 0) {
    void* base = mmap(nullptr, memory.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd, 0);
    if (base == MAP_FAILED) {
      error = errno;
    } else {
      memory.base = static_cast<std::byte*>(base);
    }
  }
  if (error == 0) {
    if (!huge) madvise(memory.base, memory.bytes, MADV_HUGEPAGE);  // A wish; may be refused.
    error = TouchAll(memory, options.touch_threads);
  }
  if (error == 0) return memory;
  ReleaseSharedMemory(memory);
  return NoMemory(options, std::strerror(error));
}

bool Seal(const SharedMemory& memory, int seals) {
  return fcntl(memory.fd, F_ADD_SEALS, seals) == 0;
}

void ReleaseSharedMemory(SharedMemory& memory) {
  if (memory.base != nullptr) munmap(memory.base, memory.bytes);
  if (memory.fd >= 0) close(memory.fd);
  memory = SharedMemory();
}

}  // namespace kvpager
