// ipc/default_paths.h
//
// Where the daemon's sockets are when nobody says otherwise: never a path a newcomer cannot write.
//
//   $XDG_RUNTIME_DIR/kvpager/kvpager.sock   if that directory is ours and writable
//   /tmp/kvpager-<uid>/kvpager.sock         otherwise; the directory must be ours, mode 0700
//
// The ZeroMQ socket lies beside the attach socket: <path>.zmq.
//
// Thread-safety: reads the environment; call before other threads change it. Errors:
// kFailedPrecondition a directory that somebody else owns or can write to, kInvalidArgument a path
// that is too long for a unix socket.

#ifndef KVPAGER_IPC_DEFAULT_PATHS_H_
#define KVPAGER_IPC_DEFAULT_PATHS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvpager {

inline constexpr size_t kSocketPathBytesMax = 107;  // sun_path, less its NUL.
inline constexpr std::string_view kZmqSuffix = ".zmq";

// For the daemon: the directory above, whether it exists or not.
std::string DefaultSocketDirectory();
std::string DefaultSocketPath();

// For clients: $KVPAGER_SOCKET if it is set and not empty; else the first of the two paths above
// where a socket is; else DefaultSocketPath().
std::string ClientSocketPath();

// "ipc://<path>.zmq"
std::string ZmqEndpointOf(std::string_view socket_path);

// kInvalidArgument, with both lengths, if `socket_path` or the path of its ZeroMQ socket is too
// long, empty or not absolute.
absl::Status CheckSocketPath(std::string_view socket_path);

// Makes the directory of `socket_path` (mode 0700) if it is the default one and missing, and checks
// that a default one in /tmp is ours alone. kNotFound if another directory is missing.
absl::Status PrepareSocketDirectory(std::string_view socket_path);

}  // namespace kvpager

#endif  // KVPAGER_IPC_DEFAULT_PATHS_H_
