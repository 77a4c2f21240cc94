// memmgr/daemon/log.h
//
// The daemon's log: one line per event, on stderr, as text or as JSON. Only the daemon and what it
// wires log; the core explains itself through its metrics.
//
// Thread-safety: any thread after StartLog. Errors: none; a line that cannot be written is lost.

#ifndef KVPAGER_MEMMGR_DAEMON_LOG_H_
#define KVPAGER_MEMMGR_DAEMON_LOG_H_

#include <string_view>

namespace kvpager {

// REQUIRES: a level of log.level ("info", ...). Before it, lines of level info and above are text.
void StartLog(std::string_view level, bool json);

void LogDebug(std::string_view line);
void LogInfo(std::string_view line);
void LogWarning(std::string_view line);
void LogError(std::string_view line);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_LOG_H_
