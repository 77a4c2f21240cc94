// tools/kvpager-decode/flags.h
//
// The command line of kvpager-decode. CLI11 is included in flags.cc alone.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_FLAGS_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_FLAGS_H_

#include <optional>

#include "tools/kvpager-decode/options.h"

namespace kvpager::decode {

// Nullopt: nothing is to be done, and `exit_code` says how to end.
std::optional<Options> ParseFlags(int argc, char** argv, int& exit_code);

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_FLAGS_H_
