// tools/kvpagerctl/options.h
//
// The command line of kvpagerctl as plain values. options.cc is the only source that includes
// CLI11.

#ifndef KVPAGER_TOOLS_KVPAGERCTL_OPTIONS_H_
#define KVPAGER_TOOLS_KVPAGERCTL_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "memmgr/base/ids.h"

namespace kvpager::ctl {

enum class Verb {
  kHelp,
  kStatus,
  kTiers,
  kSequenceList,
  kSequenceShow,
  kClients,
  kRevoke,
  kNamespaces,
  kEvict,
  kPrefetch,
  kVersion,
};

struct Options {
  Verb verb = Verb::kHelp;
  std::string help_text;
  std::string socket_path;  // Empty: $KVPAGER_SOCKET, then where a daemon usually listens.
  uint64_t timeout_us = 10'000'000;
  bool json = false;
  bool raw_bytes = false;  // Sizes in bytes instead of KiB, MiB, GiB.
  bool check = false;      // status: exit 1 on a warning.
  SequenceId sequence;     // seq show, evict, prefetch.
  uint32_t client = 0;     // revoke.
  Tier tier = Tier::kHost;
  uint64_t deadline_us = 0;
  uint32_t priority = 0;
};

// An error is a usage error: exit code 2.
absl::StatusOr<Options> ParseOptions(int argc, char** argv);

// "9f3c-12" (generation and slot, hexadecimal), "0x9f3c00000012" or a decimal number.
absl::StatusOr<SequenceId> ParseSequence(const std::string& text);
std::string FormatSequence(SequenceId sequence);

}  // namespace kvpager::ctl

#endif  // KVPAGER_TOOLS_KVPAGERCTL_OPTIONS_H_
