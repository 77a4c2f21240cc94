#include "memmgr/daemon/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/unique_fd.h"

namespace kvpager {
namespace {

constexpr size_t kReadBytesMax = 4096;
constexpr std::string_view kCheckRights = "let this user read and write it";
constexpr std::string_view kMakeRoom = "free some space, or mend the disk";

}  // namespace

absl::Status SystemError(int error, std::string_view what, const std::string& path,
                         std::string_view advice) {
  const std::string text = absl::StrCat("cannot ", std::string(what), " ", path, ": ",
                                        std::strerror(error), "; ", std::string(advice));
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

absl::StatusOr<std::optional<std::string>> ReadSmallFile(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.is_none()) {
    if (errno == ENOENT) return std::optional<std::string>();
    return SystemError(errno, "read", path, kCheckRights);
  }
  std::string bytes(kReadBytesMax, '\0');
  const ssize_t length = read(fd.get(), bytes.data(), bytes.size());
  if (length < 0) return SystemError(errno, "read", path, kCheckRights);
  bytes.resize(static_cast<size_t>(length));
  return std::optional<std::string>(std::move(bytes));
}

absl::Status WriteSmallFile(const std::string& path, std::string_view bytes) {
  const std::string fresh = path + ".new";
  const UniqueFd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (fd.is_none()) return SystemError(errno, "write to", fresh, kCheckRights);
  const ssize_t written = write(fd.get(), bytes.data(), bytes.size());
  if (written >= 0 && static_cast<size_t>(written) < bytes.size()) errno = ENOSPC;
  if (written != static_cast<ssize_t>(bytes.size()) || fsync(fd.get()) != 0 ||
      rename(fresh.c_str(), path.c_str()) != 0) {
    return SystemError(errno, "write", path, kMakeRoom);
  }
  return SyncFolder(path.substr(0, path.find_last_of('/')));
}

absl::Status SyncFolder(const std::string& folder) {
  const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.is_none() || fsync(fd.get()) != 0) return SystemError(errno, "flush", folder, kMakeRoom);
  return absl::OkStatus();
}

absl::Status CheckPrivate(const std::string& path) {
  struct stat state {};
  if (stat(path.c_str(), &state) != 0 || (state.st_mode & 077) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, " may be read by others; run chmod 600 on it"));
}

}  // namespace kvpager
