// tools/support/private_daemon.h
//
// A kvpagerd of a tool's own, in a temporary directory, so that nothing else is measured.
//
// Ownership: the process and the directory; both end with the object. Thread-safety: one thread.
// Errors: Start says what the daemon said.

#ifndef KVPAGER_TOOLS_SUPPORT_PRIVATE_DAEMON_H_
#define KVPAGER_TOOLS_SUPPORT_PRIVATE_DAEMON_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace kvpager::tools {

class PrivateDaemon {
 public:
  static constexpr char kDirectory[] = "{directory}";

  // `program` empty: kvpagerd beside this program. Waits until it answers. `parent`: where its
  // directory is made; empty: where temporary ones are. In `flags`, kDirectory stands for it.
  static absl::StatusOr<std::unique_ptr<PrivateDaemon>> Start(const std::string& program,
                                                              const std::vector<std::string>& flags,
                                                              const std::string& parent = "");
  ~PrivateDaemon();
  PrivateDaemon(const PrivateDaemon&) = delete;
  PrivateDaemon& operator=(const PrivateDaemon&) = delete;

  // SIGKILL (or SIGTERM if `clean`), then the same program again on the same files. Answers like
  // Start.
  absl::Status Restart(bool clean);
  // Only the first half; Restart starts it again.
  void Stop(bool clean);

  const std::string& socket() const { return socket_; }
  const std::string& directory() const { return directory_; }

 private:
  PrivateDaemon() = default;
  absl::Status Launch();

  std::string program_;
  std::vector<std::string> flags_;
  std::string directory_;
  std::string socket_;
  pid_t pid_ = -1;
};

// The folder of the running program.
std::string ProgramFolder();

}  // namespace kvpager::tools

#endif  // KVPAGER_TOOLS_SUPPORT_PRIVATE_DAEMON_H_
