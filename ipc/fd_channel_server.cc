// The daemon's half of ipc/fd_channel.h.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ipc/default_paths.h"
#include "ipc/fd_channel.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5; older headers lack it.
#endif

namespace kvpager {
namespace {

constexpr int kBacklog = 64;

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  KVP_CHECK(path.size() < sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::Status PathError(std::string_view what, const std::string& path) {
  const int error = errno;
  const std::string text =
      absl::StrCat("cannot ", std::string(what), " ", path, ": ", std::strerror(error));
  if (error == EACCES || error == EPERM || error == EROFS) {
    return absl::PermissionDeniedError(
        absl::StrCat(text, "; choose another --listen.socket, or run as the directory's owner"));
  }
  if (error == ENOENT) return absl::NotFoundError(text);
  if (error == ENOSPC || error == EMFILE || error == ENFILE || error == ENOMEM) {
    return absl::ResourceExhaustedError(text);
  }
  return absl::FailedPreconditionError(text);
}

std::string LockPathOf(const std::string& path) { return path + ".lock"; }

// Whoever listens at `path` now, as "pid 17"; "another process" where the kernel does not say.
// kNotFound if nobody does.
absl::StatusOr<std::string> FindListener(const std::string& path) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.is_none()) return PathError("probe", path);
  const sockaddr_un address = AddressOf(path);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    ucred peer = {};
    socklen_t bytes = sizeof(peer);
    if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.pid > 0) {
      return absl::StrCat("pid ", peer.pid);
    }
    return std::string("another process");
  }
  if (errno == EAGAIN) return std::string("another process");      // Its backlog is full.
  if (errno == EPROTOTYPE) return std::string("another program");  // A socket of another kind.
  if (errno == ENOENT || errno == ECONNREFUSED) return absl::NotFoundError("nobody listens");
  return PathError("probe", path);
}

absl::Status Refuse(const std::string& path, std::string_view listener) {
  return absl::FailedPreconditionError(
      absl::StrCat("another kvpagerd (", std::string(listener), ") listens on ", path,
                   "; stop it, or choose another --listen.socket"));
}

// An exclusive lock that goes with its holder, however that ends. The holder removes the file, so
// after locking we look whether the name still leads to what we have locked.
absl::StatusOr<UniqueFd> AcquireLock(const std::string& path) {
  const std::string lock_path = LockPathOf(path);
  constexpr int kAttemptsMax = 100;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    UniqueFd fd(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd.is_none()) return PathError("open", lock_path);
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return PathError("lock", lock_path);
      const absl::StatusOr<std::string> listener = FindListener(path);
      return Refuse(path, listener.ok() ? *listener : "just starting or stopping");
    }
    struct stat locked;
    struct stat named;
    if (fstat(fd.get(), &locked) == 0 && stat(lock_path.c_str(), &named) == 0 &&
        locked.st_ino == named.st_ino && locked.st_dev == named.st_dev) {
      return fd;
    }
  }
  return Refuse(path, "starting and stopping all the time");
}

// Makes room at `path`: removes the socket of a daemon that is gone.
absl::Status RemoveStale(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : PathError("inspect", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " exists and is not a socket; remove it, or choose another --listen.socket"));
  }
  const absl::StatusOr<std::string> listener = FindListener(path);
  if (listener.ok()) return Refuse(path, *listener);
  if (!absl::IsNotFound(listener.status())) return listener.status();
  return unlink(path.c_str()) == 0 ? absl::OkStatus() : PathError("remove the stale", path);
}

absl::StatusOr<UniqueFd> BindAndListen(const ListenOptions& options) {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.is_none()) return PathError("make a socket for", options.path);
  const sockaddr_un address = AddressOf(options.path);
  // The mode of the unbound socket is that of the file, less the umask: it is never wider than
  // asked for, not even for a moment.
  if (fchmod(fd.get(), options.mode) != 0) return PathError("set the mode of", options.path);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return PathError("bind", options.path);
  }
  if (options.group.has_value() &&
      chown(options.path.c_str(), static_cast<uid_t>(-1), *options.group) != 0) {
    return PathError("give the group to", options.path);
  }
  if (chmod(options.path.c_str(), options.mode) != 0) {
    return PathError("set the mode of", options.path);
  }
  if (listen(fd.get(), kBacklog) != 0) return PathError("listen on", options.path);
  return fd;
}

// Of the peer's process; none if the kernel has none to give.
UniqueFd PidFdOf(int fd, pid_t pid) {
  int pid_fd = -1;
  socklen_t bytes = sizeof(pid_fd);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pid_fd, &bytes) == 0) return UniqueFd(pid_fd);
  // Before Linux 6.5 by number: the peer holds its end open, so the number is rarely reused yet.
  if (pid <= 0) return UniqueFd();
  return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

}  // namespace

AttachPeer::AttachPeer(UniqueFd fd, UniqueFd pid_fd, PeerIdentity identity)
    : fd_(std::move(fd)), pid_fd_(std::move(pid_fd)), identity_(identity) {}

absl::StatusOr<std::optional<AttachRequest>> AttachPeer::ReceiveRequest() {
  MessageBytes bytes(kAttachBytesMax);
  // recv has no room for descriptors, so any that a peer sends are closed by the kernel.
  const ssize_t got = recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  if (got < 0) {
    return absl::UnavailableError(absl::StrCat("the engine hung up: ", std::strerror(errno)));
  }
  if (got == 0) return absl::UnavailableError("the engine hung up before it asked");
  if (static_cast<size_t>(got) > kAttachBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("an attach request of ", got, " bytes is longer than ", kAttachBytesMax));
  }
  bytes.resize(static_cast<size_t>(got));
  KVP_ASSIGN_OR_RETURN(AttachRequest request, DecodeAttachRequest(bytes));
  return std::optional<AttachRequest>(std::move(request));
}

absl::Status AttachPeer::SendReply(const AttachReply& reply, absl::Span<const int> fds) {
  KVP_CHECK_EQ(fds.size(), reply.status.ok() ? reply.regions.size() : 0);
  MessageBytes bytes;
  KVP_RETURN_IF_ERROR(EncodeAttachReply(reply, bytes));
  iovec part = {.iov_base = bytes.data(), .iov_len = bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kRegionsMax * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  const std::string text = absl::StrCat("cannot answer the engine: ", std::strerror(errno));
  if (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM) {
    return absl::ResourceExhaustedError(text);
  }
  return absl::UnavailableError(text);
}

bool AttachPeer::Ended() const {
  if (pid_fd_.is_none()) return false;
  pollfd watch = {.fd = pid_fd_.get(), .events = POLLIN, .revents = 0};
  return poll(&watch, 1, 0) > 0;
}

absl::Status AttachPeer::Kill() const {
  if (pid_fd_.is_none()) return absl::FailedPreconditionError("the kernel gave no pidfd of it");
  if (identity_.pid == getpid()) return absl::FailedPreconditionError("it is the daemon's own");
  if (syscall(SYS_pidfd_send_signal, pid_fd_.get(), SIGKILL, nullptr, 0) == 0 || errno == ESRCH) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(std::strerror(errno));
}

bool AttachPeer::HungUp() const {
  pollfd watch = {.fd = fd_.get(), .events = POLLIN | POLLRDHUP, .revents = 0};
  return poll(&watch, 1, 0) > 0;
}

AttachServer::AttachServer(UniqueFd lock, UniqueFd fd, std::string path)
    : lock_(std::move(lock)), fd_(std::move(fd)), path_(std::move(path)) {}

AttachServer::AttachServer(AttachServer&& other) noexcept = default;

AttachServer& AttachServer::operator=(AttachServer&& other) noexcept {
  if (this == &other) return *this;
  Close();
  lock_ = std::move(other.lock_);
  fd_ = std::move(other.fd_);
  path_ = std::move(other.path_);
  return *this;
}

AttachServer::~AttachServer() { Close(); }

void AttachServer::Close() {
  if (fd_.is_none()) return;
  // In this order: nobody else may bind before the names are gone.
  unlink(path_.c_str());
  fd_.reset();
  unlink(LockPathOf(path_).c_str());
  lock_.reset();
}

absl::StatusOr<AttachServer> AttachServer::Listen(const ListenOptions& options) {
  KVP_RETURN_IF_ERROR(PrepareSocketDirectory(options.path));
  KVP_ASSIGN_OR_RETURN(UniqueFd lock, AcquireLock(options.path));
  KVP_RETURN_IF_ERROR(RemoveStale(options.path));
  KVP_ASSIGN_OR_RETURN(UniqueFd fd, BindAndListen(options));
  return AttachServer(std::move(lock), std::move(fd), options.path);
}

absl::StatusOr<std::optional<AttachPeer>> AttachServer::Accept() {
  UniqueFd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd.is_none()) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot accept an engine on ", path_, ": ", std::strerror(errno)));
    }
    return std::nullopt;  // EAGAIN, ECONNABORTED, EINTR: the loop comes again.
  }
  ucred peer = {};
  socklen_t bytes = sizeof(peer);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) return std::nullopt;
  UniqueFd pid_fd = PidFdOf(fd.get(), peer.pid);
  return std::optional<AttachPeer>(AttachPeer(std::move(fd), std::move(pid_fd),
                                              {.uid = peer.uid, .gid = peer.gid, .pid = peer.pid}));
}

}  // namespace kvpager
