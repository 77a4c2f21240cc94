#include "memmgr/daemon/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/unique_fd.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/small_file.h"

namespace kvpager {
namespace {

constexpr size_t kSecretBytes = 32;

absl::Status MakeDirectories(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    const bool last = slash == std::string::npos;
    if (mkdir(part.c_str(), last ? 0700 : 0755) != 0 && errno != EEXIST) {
      return SystemError(errno, "make the directory", part,
                         "set nvme.path to a directory that this user may write");
    }
    if (last) return absl::OkStatus();
  }
}

absl::StatusOr<UniqueFd> Lock(const std::string& path) {
  const std::string name = path + "/daemon.lock";
  UniqueFd fd(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (fd.is_none()) {
    return SystemError(errno, "write to", name,
                       "set nvme.path to a directory that this user may write");
  }
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    char pid[16] = {};
    const ssize_t length = pread(fd.get(), pid, sizeof pid - 1, 0);
    return absl::FailedPreconditionError(
        absl::StrCat("another kvpagerd", length > 0 ? absl::StrCat(" (pid ", pid, ")") : "",
                     " uses ", path, "; stop it, or set nvme.path to another directory"));
  }
  const std::string pid = std::to_string(getpid());
  if (ftruncate(fd.get(), 0) != 0 ||
      pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return SystemError(errno, "write to", name, "free some space");
  }
  return fd;
}

absl::StatusOr<std::string> LoadSecret(const std::string& path) {
  const std::string name = path + "/secret";
  KVP_ASSIGN_OR_RETURN(std::optional<std::string> found, ReadSmallFile(name));
  if (!found.has_value()) {
    std::string secret = RandomBytes(kSecretBytes);
    KVP_RETURN_IF_ERROR(WriteSmallFile(name, secret));
    return secret;
  }
  KVP_RETURN_IF_ERROR(CheckPrivate(name));
  if (found->size() != kSecretBytes) {
    return absl::FailedPreconditionError(absl::StrCat(name, " has not the ", kSecretBytes,
                                                      " bytes of a secret; restore it, or "
                                                      "remove it and the data file beside it"));
  }
  return *std::move(found);
}

}  // namespace

absl::StatusOr<DataDirectory> DataDirectory::Open(const std::string& path,
                                                  const std::string& encryption_key_file) {
  DataDirectory directory;
  directory.path_ = path;
  if (path.empty()) {
    directory.secret_ = RandomBytes(kSecretBytes);
    return directory;
  }
  KVP_RETURN_IF_ERROR(MakeDirectories(path));
  KVP_ASSIGN_OR_RETURN(directory.lock_, Lock(path));
  KVP_ASSIGN_OR_RETURN(directory.secret_, LoadSecret(path));
  KVP_ASSIGN_OR_RETURN(directory.keys_, KeyStore::Open(path, encryption_key_file));
  return directory;
}

std::string DataDirectory::data_file() const { return path_ + "/" + std::string(kDataFileName); }

std::string RandomBytes(size_t count) {
  KVP_CHECK_LE(count, 256);  // Up to which getrandom is never short.
  std::string bytes(count, '\0');
  KVP_CHECK(getrandom(bytes.data(), count, 0) == static_cast<ssize_t>(count));
  return bytes;
}

uint64_t RandomIncarnation() {
  uint64_t incarnation = 0;
  while (incarnation == 0) {
    const std::string bytes = RandomBytes(sizeof incarnation);
    std::memcpy(&incarnation, bytes.data(), sizeof incarnation);
  }
  return incarnation;
}

}  // namespace kvpager
