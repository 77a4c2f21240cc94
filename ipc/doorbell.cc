#include "ipc/doorbell.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace kvpager {
namespace {

bool HasOption(int fd, int option, int value) {
  int is = 0;
  socklen_t bytes = sizeof(is);
  return getsockopt(fd, SOL_SOCKET, option, &is, &bytes) == 0 && is == value;
}

}  // namespace

absl::StatusOr<std::pair<Doorbell, UniqueFd>> Doorbell::MakePair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot make a doorbell: ", std::strerror(errno), "; raise ulimit -n"));
  }
  return std::make_pair(Doorbell(UniqueFd(fds[0])), UniqueFd(fds[1]));
}

absl::StatusOr<Doorbell> Doorbell::Adopt(UniqueFd fd) {
  if (fd.is_none() || !HasOption(fd.get(), SO_DOMAIN, AF_UNIX) ||
      !HasOption(fd.get(), SO_TYPE, SOCK_STREAM)) {
    return absl::InvalidArgumentError("the descriptor received as a doorbell is none");
  }
  return Doorbell(std::move(fd));
}

void Doorbell::Ring() const {
  const char stroke = 1;
  while (send(fd(), &stroke, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

bool Doorbell::Silence() const {
  // Once: somebody who rings without end must not keep us here; the rest is heard again.
  char strokes[4096];
  ssize_t got;
  do {
    got = recv(fd(), strokes, sizeof(strokes), MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  return got > 0 || (got < 0 && errno == EAGAIN);
}

}  // namespace kvpager
