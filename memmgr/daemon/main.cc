// kvpagerd: flags, configuration, signals; then the loop (daemon.cc).
//
// Exit codes: 0 clean stop; 1 cannot start as configured here, or did not stop cleanly; 2 the
// command line, the environment or the file is not a configuration at all.

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memmgr/daemon/admin.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/daemon.h"
#include "memmgr/daemon/data_directory.h"
#include "memmgr/daemon/log.h"

namespace kvpager {
namespace {

int Fail(const absl::Status& status, int exit_code) {
  std::fprintf(stderr, "kvpagerd: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

int Serve(const Config& config) {
  const bool json = config.log_format == LogFormat::kJson ||
                    (config.log_format == LogFormat::kAuto && isatty(STDERR_FILENO) == 0);
  StartLog(config.log_level, json);
  BlockSignals();
  absl::StatusOr<std::unique_ptr<Daemon>> daemon = Daemon::Create(config);
  if (!daemon.ok()) return Fail(daemon.status(), 1);
  LogInfo("kvpagerd " + std::string(kVersion) + " listens on " + config.socket_path);
  const absl::Status status = (*daemon)->Run();
  return status.ok() ? 0 : Fail(status, 1);
}

int Forget(const Config& config, const std::string& name_space) {
  const absl::StatusOr<DataDirectory> directory =
      DataDirectory::Open(config.nvme_path, config.nvme_encryption_key_file);
  if (!directory.ok()) return Fail(directory.status(), 1);
  if (directory->keys() == nullptr) {
    return Fail(absl::FailedPreconditionError(
                    "the NVMe tier is not encrypted, so there is no key to destroy; set nvme.path "
                    "and nvme.encryption_key_file as the daemon has them"),
                1);
  }
  const absl::Status status = directory->keys()->Destroy(name_space);
  if (!status.ok()) return Fail(status, 1);
  return std::printf("the key of namespace \"%s\" is destroyed\n", name_space.c_str()) < 0 ? 1 : 0;
}

int Main(int argc, char** argv) {
  const absl::StatusOr<CommandLine> command_line =
      ParseCommandLine(std::vector<std::string>(argv + 1, argv + argc));
  if (!command_line.ok()) return Fail(command_line.status(), 2);
  if (command_line->action == CommandAction::kHelp) {
    return std::printf("%s", command_line->help_text.c_str()) < 0 ? 1 : 0;
  }
  if (command_line->action == CommandAction::kVersion) {
    return std::printf("kvpagerd %s\n", kVersion) < 0 ? 1 : 0;
  }
  const Environment environment = ProcessEnvironment();
  const absl::StatusOr<RawConfig> raw = LoadRawConfig(*command_line, environment);
  if (!raw.ok()) return Fail(raw.status(), 2);
  const absl::StatusOr<Config> config = ResolveConfig(*raw, DetectMachine(environment, *raw));
  if (!config.ok()) return Fail(config.status(), 1);
  if (command_line->action == CommandAction::kPrintConfig) {
    return std::printf("%s", PrintConfig(*config).c_str()) < 0 ? 1 : 0;
  }
  if (command_line->action == CommandAction::kCheckConfig) {
    return std::printf("the configuration is valid\n") < 0 ? 1 : 0;
  }
  if (command_line->action == CommandAction::kForgetNamespace) {
    return Forget(*config, command_line->forget_namespace);
  }
  return Serve(*config);
}

}  // namespace
}  // namespace kvpager

int main(int argc, char** argv) { return kvpager::Main(argc, argv); }
