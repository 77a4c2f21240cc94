// tools/kvpagerctl/commands.h
//
// One function per verb: asks, and returns what to print on stdout.

#ifndef KVPAGER_TOOLS_KVPAGERCTL_COMMANDS_H_
#define KVPAGER_TOOLS_KVPAGERCTL_COMMANDS_H_

#include <string>

#include "absl/status/statusor.h"
#include "tools/kvpagerctl/connection.h"
#include "tools/kvpagerctl/options.h"

namespace kvpager::ctl {

struct Printout {
  std::string text;  // Ends with a newline.
  int exit_code = kExitOk;
};

// status_commands.cc
absl::StatusOr<Printout> RunStatus(Connection& connection, const Options& options);
absl::StatusOr<Printout> RunTiers(Connection& connection, const Options& options);
absl::StatusOr<Printout> RunVersion(const Options& options);  // Works without a daemon.

// sequence_commands.cc
absl::StatusOr<Printout> RunSequenceList(Connection& connection, const Options& options);
absl::StatusOr<Printout> RunSequenceShow(Connection& connection, const Options& options);
absl::StatusOr<Printout> RunEvict(Connection& connection, const Options& options);
absl::StatusOr<Printout> RunPrefetch(Connection& connection, const Options& options);

// client_commands.cc
absl::StatusOr<Printout> RunClients(Connection& connection, const Options& options);
absl::StatusOr<Printout> RunRevoke(Connection& connection, const Options& options);
absl::StatusOr<Printout> RunNamespaces(Connection& connection, const Options& options);

}  // namespace kvpager::ctl

#endif  // KVPAGER_TOOLS_KVPAGERCTL_COMMANDS_H_
