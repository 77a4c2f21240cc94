#include "ipc/shm_region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "memmgr/base/units.h"

namespace kvpager {
namespace {

constexpr uint64_t kOsPageBytes = 4096;

absl::Status SystemError(std::string_view what, std::string_view name) {
  const int error = errno;
  const std::string text = absl::StrCat(std::string(what), " of shared memory \"",
                                        std::string(name), "\" failed: ", std::strerror(error));
  const bool exhausted =
      error == ENOMEM || error == EMFILE || error == ENFILE || error == ENOSPC || error == EFBIG;
  return exhausted ? absl::ResourceExhaustedError(text) : absl::FailedPreconditionError(text);
}

absl::Status BadDescriptor(std::string_view name, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("the descriptor received for \"", std::string(name), "\" ", std::string(why)));
}

}  // namespace

ShmRegion::ShmRegion(UniqueFd fd, uint8_t* data, uint64_t bytes)
    : fd_(std::move(fd)), data_(data), bytes_(bytes) {}

ShmRegion::ShmRegion(ShmRegion&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

ShmRegion& ShmRegion::operator=(ShmRegion&& other) noexcept {
  if (this == &other) return *this;
  Unmap();
  fd_ = std::move(other.fd_);
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

ShmRegion::~ShmRegion() { Unmap(); }

void ShmRegion::Unmap() {
  if (data_ != nullptr) munmap(data_, bytes_);
  data_ = nullptr;
}

absl::StatusOr<ShmRegion> ShmRegion::Create(std::string_view name, uint64_t bytes) {
  KVP_CHECK(bytes > 0);
  const uint64_t rounded = AlignUp(bytes, kOsPageBytes);
  UniqueFd fd(memfd_create(std::string(name).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd.is_none()) return SystemError("creation", name);
  if (ftruncate(fd.get(), static_cast<off_t>(rounded)) != 0) return SystemError("sizing", name);
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    return SystemError("sealing", name);
  }
  void* data = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return SystemError("mapping", name);
  return ShmRegion(std::move(fd), static_cast<uint8_t*>(data), rounded);
}

absl::StatusOr<ShmRegion> ShmRegion::Map(std::string_view name, UniqueFd fd, uint64_t bytes,
                                         Access access) {
  if (fd.is_none()) return BadDescriptor(name, "is missing");
  if (bytes == 0) return BadDescriptor(name, "was promised with 0 bytes");
  // Before the size: once sealed against shrinking, what fstat says stays true.
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return SystemError("inspection", name);
  if (!S_ISREG(info.st_mode)) return BadDescriptor(name, "is not memory");
  if (static_cast<uint64_t>(info.st_size) < bytes) {
    return BadDescriptor(name,
                         absl::StrCat("has ", info.st_size, " bytes; ", bytes, " were promised"));
  }
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return BadDescriptor(name, "is not sealed against shrinking");
  }
  const int protection = access == Access::kReadWrite ? PROT_READ | PROT_WRITE : PROT_READ;
  void* data = mmap(nullptr, bytes, protection, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) return SystemError("mapping", name);
  ShmRegion region(std::move(fd), static_cast<uint8_t*>(data), bytes);
  if (madvise(data, bytes, MADV_DONTFORK) != 0) return SystemError("MADV_DONTFORK", name);
  return region;
}

absl::Status ShmRegion::SealAgainstWriters() {
  if (fcntl(fd(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return SystemError("sealing against writers", "region");
  }
  return absl::OkStatus();
}

}  // namespace kvpager
