// ipc/fd_channel.h
//
// The unix socket where engines attach: it proves who they are and hands them descriptors, which
// ZeroMQ can do neither of.
//
//   engine                                  daemon
//   AttachClient::Attach
//     connect ------------------------------> AttachServer::Accept (uid, pid, pidfd from the
//     kernel) AttachRequest ------------------------> AttachPeer::ReceiveRequest AttachReply +
//     descriptors <------------ AttachPeer::SendReply
//     ... the connection stays open and silent; when it hangs up, or the pidfd says so, the engine
//     is gone, and when the daemon's end hangs up, the daemon is.
//
// Ownership: every object closes what it holds. Thread-safety: one thread each. Errors: below; all
// name the path.

#ifndef KVPAGER_IPC_FD_CHANNEL_H_
#define KVPAGER_IPC_FD_CHANNEL_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/attach.h"
#include "ipc/unique_fd.h"

namespace kvpager {

// Who is at the other end, as the kernel says.
struct PeerIdentity {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
};

// The daemon's end of one connection. Nothing here blocks.
class AttachPeer {
 public:
  AttachPeer(AttachPeer&&) = default;
  AttachPeer& operator=(AttachPeer&&) = default;

  const PeerIdentity& identity() const { return identity_; }
  int fd() const { return fd_.get(); }  // Readable: a request, or the end.
  int pid_fd() const {
    return pid_fd_.get();
  }  // Readable: the process has ended. -1: none to have.

  // nullopt: nothing yet. kUnavailable: the peer hung up. kInvalidArgument, kUnimplemented: not a
  // request that can be read; say so with SendReply and drop the peer.
  absl::StatusOr<std::optional<AttachRequest>> ReceiveRequest();

  // One descriptor per region of `reply`, in order (REQUIRES). They stay the caller's.
  absl::Status SendReply(const AttachReply& reply, absl::Span<const int> fds);

  // The process has ended; false where there is no pidfd to tell.
  bool Ended() const;
  // Sends SIGKILL. kPermissionDenied: this process may not. kFailedPrecondition: it is this process
  // itself, or there is no pidfd.
  absl::Status Kill() const;

  // After the handshake: the connection has ended, or the peer said something, which it must not.
  bool HungUp() const;

 private:
  friend class AttachServer;
  AttachPeer(UniqueFd fd, UniqueFd pid_fd, PeerIdentity identity);

  UniqueFd fd_;
  UniqueFd pid_fd_;
  PeerIdentity identity_;
};

struct ListenOptions {
  std::string path;            // Absolute; at most kSocketPathBytesMax with its ZeroMQ suffix.
  mode_t mode = 0600;          // 0660 with a group.
  std::optional<gid_t> group;  // None: the daemon's own.
};

class AttachServer {
 public:
  // Makes the default directory if need be, replaces a stale socket. kFailedPrecondition if another
  // daemon listens there or the path is something else than a socket; kPermissionDenied, kNotFound,
  // kInvalidArgument for the path itself. Holds <path>.lock locked while it lives, so of two
  // daemons started at once one is refused.
  static absl::StatusOr<AttachServer> Listen(const ListenOptions& options);

  AttachServer(AttachServer&& other) noexcept;
  AttachServer& operator=(AttachServer&& other) noexcept;
  ~AttachServer();  // Removes the socket.

  int fd() const { return fd_.get(); }  // Readable: somebody waits.
  const std::string& path() const { return path_; }

  // nullopt: nobody waits, or who waited has gone. kResourceExhausted: no descriptors left; the
  // caller stops watching fd() for a while.
  absl::StatusOr<std::optional<AttachPeer>> Accept();

 private:
  AttachServer(UniqueFd lock, UniqueFd fd, std::string path);
  void Close();

  UniqueFd lock_;
  UniqueFd fd_;
  std::string path_;
};

// The engine's end: an attach that succeeded. Keep it open as long as the engine is attached.
class AttachClient {
 public:
  // kUnavailable nobody listens, kPermissionDenied the socket's mode, kDeadlineExceeded no answer
  // in time, kUnimplemented another version; else what the daemon refused with.
  static absl::StatusOr<AttachClient> Attach(const std::string& path, const AttachRequest& request,
                                             uint64_t timeout_us);

  AttachClient(AttachClient&&) = default;
  AttachClient& operator=(AttachClient&&) = default;

  const AttachReply& reply() const { return reply_; }

  // The descriptor of the region called `name`; none if there is none or it was taken already.
  UniqueFd TakeRegion(std::string_view name);
  const RegionInfo* FindRegion(std::string_view name) const;

  int fd() const { return fd_.get(); }  // Readable: the daemon has gone.
  bool HungUp() const;

 private:
  AttachClient(UniqueFd fd, AttachReply reply, std::vector<UniqueFd> region_fds);

  UniqueFd fd_;
  AttachReply reply_;
  std::vector<UniqueFd> region_fds_;  // As reply_.regions.
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_FD_CHANNEL_H_
