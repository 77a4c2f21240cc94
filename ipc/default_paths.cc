#include "ipc/default_paths.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

constexpr char kSocketName[] = "/kvpager.sock";

std::string TemporaryDirectory() { return absl::StrCat("/tmp/kvpager-", geteuid()); }

// Empty if there is none that we may use. Root can write to everybody's, hence the owner.
std::string RuntimeDirectory() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime == nullptr || runtime[0] != '/') return "";
  struct stat info;
  if (stat(runtime, &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid()) return "";
  if (faccessat(AT_FDCWD, runtime, W_OK | X_OK, AT_EACCESS) != 0) return "";
  return absl::StrCat(runtime, "/kvpager");
}

bool IsSocket(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

// A directory in /tmp may have been made by anybody, before us.
absl::Status CheckOursAlone(const std::string& directory) {
  struct stat info;
  if (lstat(directory.c_str(), &info) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot inspect ", directory, ": ", std::strerror(errno)));
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(directory, " is not a directory; remove it, or choose another socket path"));
  }
  if (info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrCat(directory, " belongs to uid ", info.st_uid,
                                                      ", not to uid ", geteuid(),
                                                      "; choose another socket path"));
  }
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(directory, " is open to other users; run: chmod 700 ", directory));
  }
  return absl::OkStatus();
}

std::string DirectoryOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

}  // namespace

std::string DefaultSocketDirectory() {
  std::string runtime = RuntimeDirectory();
  return runtime.empty() ? TemporaryDirectory() : runtime;
}

std::string DefaultSocketPath() { return DefaultSocketDirectory() + kSocketName; }

std::string ClientSocketPath() {
  const char* const chosen = std::getenv("KVPAGER_SOCKET");
  if (chosen != nullptr && chosen[0] != '\0') return chosen;
  std::string path = DefaultSocketPath();
  if (IsSocket(path)) return path;
  // The daemon may have been started without a runtime directory.
  const std::string directory = TemporaryDirectory();
  std::string fallback = directory + kSocketName;
  if (CheckOursAlone(directory).ok() && IsSocket(fallback)) return fallback;
  return path;
}

std::string ZmqEndpointOf(std::string_view socket_path) {
  return absl::StrCat("ipc://", std::string(socket_path), std::string(kZmqSuffix));
}

absl::Status CheckSocketPath(std::string_view socket_path) {
  if (socket_path.empty() || socket_path[0] != '/') {
    return absl::InvalidArgumentError(absl::StrCat("the socket path \"", std::string(socket_path),
                                                   "\" is not absolute; start it with /"));
  }
  if (socket_path.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("the socket path contains a NUL byte");
  }
  const size_t bytes_max = kSocketPathBytesMax - kZmqSuffix.size();
  if (socket_path.size() > bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("the socket path ", std::string(socket_path), " has ", socket_path.size(),
                     " bytes; unix sockets allow ", bytes_max, " here; choose a shorter one"));
  }
  return absl::OkStatus();
}

absl::Status PrepareSocketDirectory(std::string_view socket_path) {
  KVP_RETURN_IF_ERROR(CheckSocketPath(socket_path));
  const std::string directory = DirectoryOf(socket_path);
  const bool is_default = directory == DefaultSocketDirectory();
  if (is_default && mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot make ", directory, ": ", std::strerror(errno), "; choose another socket path"));
  }
  if (is_default) return CheckOursAlone(directory);
  struct stat info;
  if (stat(directory.c_str(), &info) != 0) {
    const int error = errno;
    const std::string text = absl::StrCat(directory, ": ", std::strerror(error));
    if (error == EACCES) return absl::PermissionDeniedError(text);
    return absl::NotFoundError(
        absl::StrCat(text, "; make the directory, or choose another socket path"));
  }
  return absl::OkStatus();
}

}  // namespace kvpager
