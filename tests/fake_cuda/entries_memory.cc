// The entry points about memory, under the driver's names.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/fake_cuda/entries.h"
#include "tests/fake_cuda/state.h"

namespace kvpager::fake_cuda {
namespace {

using Needs = State::Needs;

bool IsWhole(uint64_t bytes) { return bytes > 0 && bytes % kGranularityBytes == 0; }

uint64_t UsedBytes(const State& state) {
  uint64_t used = 0;
  for (const auto& [name, allocation] : state.allocations) {
    if (allocation.own) used += allocation.bytes;
  }
  return used;
}

bool IsMapped(uint64_t base, uint64_t bytes) {
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t first = base / page * page;
  return msync(reinterpret_cast<void*>(first), base + bytes - first, MS_ASYNC) == 0;
}

}  // namespace

extern "C" {

FAKE_CUDA Result cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  ENTER(Needs::kContext);
  *total_bytes = state.memory_bytes;
  *free_bytes = state.memory_bytes - UsedBytes(state);
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemGetAllocationGranularity(size_t* bytes,
                                               const cuda::AllocationProperties* properties,
                                               int option) {
  ENTER(Needs::kInit);
  if (properties->type != cuda::kAllocationPinned || option < 0 || option > 1) {
    return state.Misuse(cuda::kInvalidValue);
  }
  *bytes = kGranularityBytes;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemAddressReserve(DevicePointer* base, size_t bytes, size_t alignment,
                                     DevicePointer wish, unsigned long long flags) {
  ENTER(Needs::kInit);
  if (!IsWhole(bytes) || alignment != 0 || wish != 0 || flags != 0) {
    return state.Misuse(cuda::kInvalidValue);
  }
  void* const at = mmap(nullptr, bytes + kGranularityBytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return cuda::kOutOfMemory;
  const auto first = reinterpret_cast<uint64_t>(at);
  const uint64_t aligned = (first + kGranularityBytes - 1) / kGranularityBytes * kGranularityBytes;
  if (aligned > first) munmap(at, aligned - first);
  if (const uint64_t rest = first + kGranularityBytes - aligned; rest > 0) {
    munmap(reinterpret_cast<void*>(aligned + bytes), rest);
  }
  state.reservations[aligned] = bytes;
  *base = aligned;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemAddressFree(DevicePointer base, size_t bytes) {
  ENTER(Needs::kInit);
  const auto found = state.reservations.find(base);
  if (found == state.reservations.end() || found->second != bytes) {
    return state.Misuse(cuda::kInvalidValue);
  }
  const auto mapped = state.mappings.lower_bound(base);
  if (mapped != state.mappings.end() && mapped->first < base + bytes) {
    return state.Misuse(cuda::kInvalidValue);
  }
  munmap(reinterpret_cast<void*>(base), bytes);
  state.reservations.erase(found);
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemCreate(uint64_t* handle, size_t bytes,
                             const cuda::AllocationProperties* properties,
                             unsigned long long flags) {
  ENTER(Needs::kInit);
  if (!IsWhole(bytes) || flags != 0 || properties->type != cuda::kAllocationPinned ||
      properties->handle_types != cuda::kHandlePosixFd ||
      properties->location.type != cuda::kLocationDevice || properties->location.id != 0) {
    return state.Misuse(cuda::kInvalidValue);
  }
  if (UsedBytes(state) + bytes > state.memory_bytes) return cuda::kOutOfMemory;
  const int fd = memfd_create("fake-cuda", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) return cuda::kOutOfMemory;
  *handle = state.handle_next++;
  state.allocations[*handle] = {.fd = fd, .bytes = bytes, .own = true};
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemRelease(uint64_t handle) {
  ENTER(Needs::kInit);
  const auto found = state.allocations.find(handle);
  if (found == state.allocations.end() || !found->second.held) {
    return state.Misuse(cuda::kInvalidValue);
  }
  found->second.held = false;
  state.DropIfUnused(handle);
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemMap(DevicePointer at, size_t bytes, size_t offset, uint64_t handle,
                          unsigned long long flags) {
  ENTER(Needs::kInit);
  const auto found = state.allocations.find(handle);
  if (found == state.allocations.end() || !found->second.held || offset != 0 || flags != 0 ||
      !IsWhole(bytes) || bytes > found->second.bytes || at % kGranularityBytes != 0 ||
      !state.IsReserved(at, bytes)) {
    return state.Misuse(cuda::kInvalidValue);
  }
  for (const auto& [base, mapping] : state.mappings) {
    if (base < at + bytes && at < base + mapping.bytes) return state.Misuse(cuda::kInvalidValue);
  }
  void* const alias = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, found->second.fd, 0);
  if (alias == MAP_FAILED) return cuda::kOutOfMemory;
  ++found->second.maps;
  state.mappings[at] = {bytes, handle, static_cast<std::byte*>(alias), false};
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemUnmap(DevicePointer at, size_t bytes) {
  ENTER(Needs::kInit);
  const auto found = state.mappings.find(at);
  if (found == state.mappings.end() || found->second.bytes != bytes) {
    return state.Misuse(cuda::kInvalidValue);
  }
  munmap(found->second.alias, bytes);
  const uint64_t handle = found->second.handle;
  --state.allocations[handle].maps;
  state.mappings.erase(found);
  state.DropIfUnused(handle);
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemSetAccess(DevicePointer at, size_t bytes,
                                const cuda::AccessDescription* access, size_t count) {
  ENTER(Needs::kInit);
  const auto found = state.mappings.find(at);
  if (found == state.mappings.end() || found->second.bytes != bytes || count != 1 ||
      access->location.type != cuda::kLocationDevice || access->location.id != 0 ||
      access->flags != cuda::kAccessReadWrite) {
    return state.Misuse(cuda::kInvalidValue);
  }
  found->second.accessible = true;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemExportToShareableHandle(void* fd, uint64_t handle, int type,
                                              unsigned long long flags) {
  ENTER(Needs::kInit);
  const auto found = state.allocations.find(handle);
  if (found == state.allocations.end() || !found->second.held || flags != 0 ||
      type != cuda::kHandlePosixFd) {
    return state.Misuse(cuda::kInvalidValue);
  }
  const int copy = fcntl(found->second.fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return cuda::kOutOfMemory;
  *static_cast<int*>(fd) = copy;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemImportFromShareableHandle(uint64_t* handle, void* fd, int type) {
  ENTER(Needs::kInit);
  const int given = static_cast<int>(reinterpret_cast<intptr_t>(fd));
  struct stat info {};
  char name[64] = {};
  const std::string link = "/proc/self/fd/" + std::to_string(given);
  if (type != cuda::kHandlePosixFd || fstat(given, &info) != 0 ||
      readlink(link.c_str(), name, sizeof(name) - 1) < 0 ||
      std::string(name).find("fake-cuda") == std::string::npos) {
    return state.Misuse(cuda::kInvalidValue);
  }
  const int copy = fcntl(given, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return cuda::kOutOfMemory;
  *handle = state.handle_next++;
  state.allocations[*handle] = {.fd = copy, .bytes = static_cast<uint64_t>(info.st_size)};
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemHostRegister_v2(void* base, size_t bytes, uint32_t flags) {
  ENTER(Needs::kContext);
  const auto at = reinterpret_cast<uint64_t>(base);
  if (bytes == 0 || flags != cuda::kHostPortable || !IsMapped(at, bytes)) {
    return state.Misuse(cuda::kInvalidValue);
  }
  for (const auto& [first, length] : state.registrations) {
    if (first < at + bytes && at < first + length) {
      return state.Misuse(cuda::kHostMemoryAlreadyRegistered);
    }
  }
  state.registrations[at] = bytes;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemHostUnregister(void* base) {
  ENTER(Needs::kContext);
  if (state.registrations.erase(reinterpret_cast<uint64_t>(base)) == 0) {
    return state.Misuse(cuda::kHostMemoryNotRegistered);
  }
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemHostAlloc(void** base, size_t bytes, uint32_t flags) {
  ENTER(Needs::kContext);
  if (bytes == 0 || flags != cuda::kHostPortable) return state.Misuse(cuda::kInvalidValue);
  *base = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (*base == nullptr) return cuda::kOutOfMemory;
  state.host_allocations[reinterpret_cast<uint64_t>(*base)] = bytes;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemFreeHost(void* base) {
  ENTER(Needs::kContext);
  if (state.host_allocations.erase(reinterpret_cast<uint64_t>(base)) == 0) {
    return state.Misuse(cuda::kInvalidValue);
  }
  std::free(base);
  return cuda::kSuccess;
}

}  // extern "C"
}  // namespace kvpager::fake_cuda
