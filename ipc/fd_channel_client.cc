// The engine's half of ipc/fd_channel.h.

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ipc/deadline.h"
#include "ipc/default_paths.h"
#include "ipc/fd_channel.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

absl::Status NobodyListens(const std::string& path) {
  return absl::UnavailableError(absl::StrCat("no kvpagerd listens on ", path,
                                             "; start it, or set KVPAGER_SOCKET to its socket"));
}

// The path, or the nearest directory above it that can be inspected: what denies us.
absl::Status NoPermission(const std::string& path) {
  std::string place = path;
  struct stat info;
  while (stat(place.c_str(), &info) != 0) {
    const size_t slash = place.rfind('/');
    if (slash == std::string::npos || slash == 0) {
      return absl::PermissionDeniedError(absl::StrCat("no permission on ", path));
    }
    place.resize(slash);
  }
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "0%o", static_cast<unsigned>(info.st_mode & 07777));
  const char* const remedy = place == path
                                 ? "or ask for --listen.mode=0660 and a group"
                                 : "or ask for a --listen.socket in a directory that you may enter";
  return absl::PermissionDeniedError(absl::StrCat("no permission on ", place, " (mode ",
                                                  mode.data(), ", owned by uid ", info.st_uid,
                                                  "); run as that user ", remedy));
}

absl::Status TimedOut(const std::string& path, uint64_t timeout_us) {
  return absl::DeadlineExceededError(absl::StrCat("kvpagerd did not answer on ", path, " within ",
                                                  timeout_us,
                                                  " us; look at its log, or allow more time"));
}

absl::Status ConnectError(const std::string& path) {
  const int error = errno;
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
    case ENOTDIR:
      return NobodyListens(path);
    case EACCES:
    case EPERM:
      return NoPermission(path);
    case EPROTOTYPE:
      return absl::FailedPreconditionError(absl::StrCat(
          path, " is not the attach socket of a kvpagerd; set KVPAGER_SOCKET to the right one"));
    default:
      return absl::UnavailableError(
          absl::StrCat("cannot connect to ", path, ": ", std::strerror(error)));
  }
}

absl::StatusOr<UniqueFd> Connect(const std::string& path, const Deadline& deadline,
                                 uint64_t timeout_us) {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (fd.is_none()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot make a socket: ", std::strerror(errno)));
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());  // CheckSocketPath has seen it.
  for (;;) {
    // A full backlog makes connect wait, for as long as the send timeout says; 0 would be for ever.
    const uint64_t wait_us = std::clamp<uint64_t>(deadline.remaining_ns() / 1000, 1, 3'600'000'000);
    const timeval wait = {.tv_sec = static_cast<time_t>(wait_us / 1'000'000),
                          .tv_usec = static_cast<suseconds_t>(wait_us % 1'000'000)};
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      return fd;
    }
    if (errno != EINTR && errno != EAGAIN) return ConnectError(path);
    if (deadline.passed()) return TimedOut(path, timeout_us);
  }
}

absl::Status SendRequest(int fd, const std::string& path, const MessageBytes& bytes) {
  ssize_t sent;
  do {
    sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("kvpagerd on ", path, " hung up: ", std::strerror(errno)));
}

absl::Status WaitReadable(int fd, const std::string& path, const Deadline& deadline,
                          uint64_t timeout_us) {
  for (;;) {
    pollfd watch = {.fd = fd, .events = POLLIN, .revents = 0};
    const timespec wait = deadline.remaining();
    if (ppoll(&watch, 1, &wait, nullptr) > 0) return absl::OkStatus();
    if (deadline.passed()) return TimedOut(path, timeout_us);
  }
}

// Takes over every descriptor of a message, before anything else can go wrong.
std::vector<UniqueFd> TakeDescriptors(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

absl::StatusOr<AttachReply> ReceiveReply(int fd, const std::string& path,
                                         std::vector<UniqueFd>& fds) {
  MessageBytes bytes(kAttachBytesMax);
  iovec part = {.iov_base = bytes.data(), .iov_len = bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kRegionsMax * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got;
  do {
    got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got >= 0) fds = TakeDescriptors(message);  // An empty packet may carry some, too.
  if (got <= 0) {
    return absl::UnavailableError(absl::StrCat(
        "kvpagerd on ", path, " closed the connection without an answer; look at its log"));
  }
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the answer from ", path, " is longer than ", kAttachBytesMax, " bytes"));
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "not all descriptors from ", path, " fitted; raise the limit on open files (ulimit -n)"));
  }
  bytes.resize(static_cast<size_t>(got));
  KVP_ASSIGN_OR_RETURN(AttachReply reply, DecodeAttachReply(bytes));
  KVP_RETURN_IF_ERROR(reply.status);
  if (reply.regions.size() != fds.size()) {
    return absl::InvalidArgumentError(absl::StrCat("kvpagerd on ", path, " promised ",
                                                   reply.regions.size(), " regions and sent ",
                                                   fds.size(), " descriptors"));
  }
  return reply;
}

}  // namespace

AttachClient::AttachClient(UniqueFd fd, AttachReply reply, std::vector<UniqueFd> region_fds)
    : fd_(std::move(fd)), reply_(std::move(reply)), region_fds_(std::move(region_fds)) {}

absl::StatusOr<AttachClient> AttachClient::Attach(const std::string& path,
                                                  const AttachRequest& request,
                                                  uint64_t timeout_us) {
  KVP_RETURN_IF_ERROR(CheckSocketPath(path));
  MessageBytes bytes;
  KVP_RETURN_IF_ERROR(EncodeAttachRequest(request, bytes));
  const Deadline deadline = Deadline::AfterUs(timeout_us);
  KVP_ASSIGN_OR_RETURN(UniqueFd fd, Connect(path, deadline, timeout_us));
  KVP_RETURN_IF_ERROR(SendRequest(fd.get(), path, bytes));
  KVP_RETURN_IF_ERROR(WaitReadable(fd.get(), path, deadline, timeout_us));
  std::vector<UniqueFd> region_fds;
  KVP_ASSIGN_OR_RETURN(AttachReply reply, ReceiveReply(fd.get(), path, region_fds));
  return AttachClient(std::move(fd), std::move(reply), std::move(region_fds));
}

UniqueFd AttachClient::TakeRegion(std::string_view name) {
  for (size_t i = 0; i < region_fds_.size(); ++i) {
    if (reply_.regions[i].name == name) return std::move(region_fds_[i]);
  }
  return UniqueFd();
}

const RegionInfo* AttachClient::FindRegion(std::string_view name) const {
  for (const RegionInfo& region : reply_.regions) {
    if (region.name == name) return &region;
  }
  return nullptr;
}

bool AttachClient::HungUp() const {
  pollfd watch = {.fd = fd_.get(), .events = POLLIN | POLLRDHUP, .revents = 0};
  return poll(&watch, 1, 0) > 0;
}

}  // namespace kvpager
