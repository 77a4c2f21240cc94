// memmgr/daemon/small_file.h
//
// Files of a data directory that hold a secret or a key: small, private to the daemon's user, and
// whole or absent after any crash.
//
// Thread-safety: functions of their arguments. Errors: each names the file and ends with `advice`,
// which says what to do: kPermissionDenied, kResourceExhausted (no room), kUnavailable (all else).

#ifndef KVPAGER_MEMMGR_DAEMON_SMALL_FILE_H_
#define KVPAGER_MEMMGR_DAEMON_SMALL_FILE_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvpager {

// "cannot WHAT PATH: the text of `error`; ADVICE".
absl::Status SystemError(int error, std::string_view what, const std::string& path,
                         std::string_view advice);

// Its first 4,096 bytes; nothing: there is no such file.
absl::StatusOr<std::optional<std::string>> ReadSmallFile(const std::string& path);

// Puts the file in place, with `bytes` in it, in one step; when this returns, it is on the disk,
// its name in its folder too.
absl::Status WriteSmallFile(const std::string& path, std::string_view bytes);

// What is in the folder now, its names, is on the disk.
absl::Status SyncFolder(const std::string& folder);

// kFailedPrecondition: others than its owner have rights to it.
absl::Status CheckPrivate(const std::string& path);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_SMALL_FILE_H_
