// tiers/host/shared_memory.h
//
// Anonymous memory that can be handed to another process: a memfd and one mapping of it, for the
// arena and for the pool of a device made of ordinary memory.
//
// Errors: kResourceExhausted, with a sentence that says how much was asked for and how much there
// is.

#ifndef KVPAGER_TIERS_HOST_SHARED_MEMORY_H_
#define KVPAGER_TIERS_HOST_SHARED_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvpager {

inline constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;

enum class MemoryPages : uint8_t { kOrdinary, kHuge };

struct SharedMemory {
  int fd = -1;
  std::byte* base = nullptr;
  uint64_t bytes = 0;
};

struct SharedMemoryOptions {
  const char* name = "";  // Shown in /proc and in messages.
  uint64_t bytes = 0;
  MemoryPages pages = MemoryPages::kOrdinary;
  uint32_t touch_threads = 4;  // 0: on the caller's thread.
};

// Maps and touches the memory, in parallel, with threads that are joined before it returns. Seals
// nothing. The size is rounded up to whole huge pages.
absl::StatusOr<SharedMemory> MakeSharedMemory(const SharedMemoryOptions& options);

// Adds seals (F_SEAL_...). False if the kernel refuses for this kind of memory.
bool Seal(const SharedMemory& memory, int seals);

void ReleaseSharedMemory(SharedMemory& memory);

}  // namespace kvpager

#endif  // KVPAGER_TIERS_HOST_SHARED_MEMORY_H_
