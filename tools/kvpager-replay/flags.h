// tools/kvpager-replay/flags.h
//
// The command line of kvpager-replay.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_FLAGS_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_FLAGS_H_

#include <optional>

#include "tools/kvpager-replay/options.h"

namespace kvpager::replay {

inline constexpr int kExitPassed = 0;
inline constexpr int kExitFailed = 1;      // A wrong page, or requests that could not be served.
inline constexpr int kExitUsage = 2;       // Bad options, a bad trace, an attach that was refused.
inline constexpr int kExitLostDaemon = 3;  // Nobody at the socket, or not any more.
inline constexpr int kExitInterrupted = 130;

// Options, or none if the program is to exit with `exit_code` at once; it has said why.
std::optional<Options> ParseFlags(int argc, char** argv, int& exit_code);

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_FLAGS_H_
