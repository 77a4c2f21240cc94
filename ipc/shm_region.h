// ipc/shm_region.h
//
// Memory that two processes share: a memfd and its mapping.
//
// Every region is sealed against shrinking and growing, so a mapping can never raise SIGBUS under
// its reader. Mappings of received descriptors are MADV_DONTFORK: a child of an engine must not be
// able to touch frames that the engine no longer holds.
//
// Ownership: unmaps and closes when destroyed; moves. Thread-safety: the object, one thread; the
// memory, whatever its layout says. Errors: kResourceExhausted no memory or no descriptors,
// kInvalidArgument a descriptor that is not what was promised.

#ifndef KVPAGER_IPC_SHM_REGION_H_
#define KVPAGER_IPC_SHM_REGION_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/unique_fd.h"

namespace kvpager {

enum class Access : uint8_t { kReadOnly, kReadWrite };

class ShmRegion {
 public:
  // A fresh memfd of `bytes`, rounded up to pages, all zero, mapped writable, sealed against
  // shrinking and growing. `name` is for /proc.
  static absl::StatusOr<ShmRegion> Create(std::string_view name, uint64_t bytes);

  // Maps a descriptor that came from another process, which promised `bytes`; takes it over.
  // Refuses one that is smaller, or that may shrink.
  static absl::StatusOr<ShmRegion> Map(std::string_view name, UniqueFd fd, uint64_t bytes,
                                       Access access);

  ShmRegion() = default;
  ShmRegion(ShmRegion&& other) noexcept;
  ShmRegion& operator=(ShmRegion&& other) noexcept;
  ~ShmRegion();

  // From now on nobody can make a new writable mapping; this one stays writable. And no more seals.
  absl::Status SealAgainstWriters();

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  int fd() const { return fd_.get(); }
  bool is_none() const { return data_ == nullptr; }

 private:
  ShmRegion(UniqueFd fd, uint8_t* data, uint64_t bytes);
  void Unmap();

  UniqueFd fd_;
  uint8_t* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_SHM_REGION_H_
