// kvpagerctl: what an operator sees of a running kvpagerd. docs/OPERATIONS.md lists the exit codes.

#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/default_paths.h"
#include "tools/kvpagerctl/commands.h"
#include "tools/kvpagerctl/connection.h"
#include "tools/kvpagerctl/options.h"

namespace kvpager::ctl {
namespace {

int Fail(const absl::Status& status, int exit_code) {
  std::fprintf(stderr, "kvpagerctl: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

absl::StatusOr<Printout> RunConnected(const Options& options) {
  const std::string path = options.socket_path.empty() ? ClientSocketPath() : options.socket_path;
  absl::StatusOr<Connection> connection = Connection::Open(path, options.timeout_us);
  if (!connection.ok()) return connection.status();
  switch (options.verb) {
    case Verb::kStatus:
      return RunStatus(*connection, options);
    case Verb::kTiers:
      return RunTiers(*connection, options);
    case Verb::kSequenceList:
      return RunSequenceList(*connection, options);
    case Verb::kSequenceShow:
      return RunSequenceShow(*connection, options);
    case Verb::kNamespaces:
      return RunNamespaces(*connection, options);
    case Verb::kClients:
      return RunClients(*connection, options);
    case Verb::kRevoke:
      return RunRevoke(*connection, options);
    case Verb::kEvict:
      return RunEvict(*connection, options);
    case Verb::kPrefetch:
      return RunPrefetch(*connection, options);
    case Verb::kHelp:
    case Verb::kVersion:
      break;
  }
  return absl::InvalidArgumentError("this verb needs no daemon");
}

int Main(int argc, char** argv) {
  const absl::StatusOr<Options> options = ParseOptions(argc, argv);
  if (!options.ok()) return Fail(options.status(), kExitUsage);
  if (options->verb == Verb::kHelp) {
    return std::fputs(options->help_text.c_str(), stdout) < 0 ? kExitFailed : kExitOk;
  }
  const absl::StatusOr<Printout> printout =
      options->verb == Verb::kVersion ? RunVersion(*options) : RunConnected(*options);
  if (!printout.ok()) return Fail(printout.status(), ExitCodeOf(printout.status()));
  if (std::fputs(printout->text.c_str(), stdout) < 0) return kExitFailed;
  return printout->exit_code;
}

}  // namespace
}  // namespace kvpager::ctl

int main(int argc, char** argv) { return kvpager::ctl::Main(argc, argv); }
