#include "tools/support/private_daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "memmgr/base/status_macros.h"
#include "tools/support/clock.h"
#include "tools/support/daemon_status.h"

extern char** environ;

namespace kvpager::tools {
namespace {

constexpr int kStartAttempts = 12'000;
constexpr uint64_t kStartPauseUs = 5'000;

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

std::string ProgramFolder() {
  std::array<char, 4096> path{};
  const ssize_t bytes = readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (bytes <= 0) return ".";
  return std::filesystem::path(std::string(path.data(), static_cast<size_t>(bytes)))
      .parent_path()
      .string();
}

absl::StatusOr<std::unique_ptr<PrivateDaemon>> PrivateDaemon::Start(
    const std::string& program, const std::vector<std::string>& flags, const std::string& parent) {
  std::error_code error;
  const std::filesystem::path folder =
      parent.empty() ? std::filesystem::temp_directory_path(error) : std::filesystem::path(parent);
  std::string pattern = (folder / "kvpager.XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("cannot create a directory like ", pattern,
                                                      ": ", std::strerror(errno),
                                                      "; set TMPDIR to one that you may write to"));
  }
  std::unique_ptr<PrivateDaemon> daemon(new PrivateDaemon());
  daemon->directory_ = pattern;
  daemon->socket_ = pattern + "/kvpager.sock";
  daemon->program_ = program.empty() ? ProgramFolder() + "/kvpagerd" : program;
  daemon->flags_ = flags;
  KVP_RETURN_IF_ERROR(daemon->Launch());
  return daemon;
}

absl::Status PrivateDaemon::Restart(bool clean) {
  Stop(clean);
  return Launch();
}

void PrivateDaemon::Stop(bool clean) {
  if (pid_ <= 0) return;
  kill(pid_, clean ? SIGTERM : SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

absl::Status PrivateDaemon::Launch() {
  std::vector<std::string> words = {program_, "--config",     "",    "--listen.socket",
                                    socket_,  "--log.format", "text"};
  for (const std::string& flag : flags_) {
    words.push_back(absl::StrReplaceAll(flag, {{kDirectory, directory_}}));
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string log = directory_ + "/kvpagerd.log";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const int failed =
      posix_spawn(&pid_, program_.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    pid_ = -1;
    return absl::NotFoundError(absl::StrCat("cannot start ", program_, ": ", std::strerror(failed),
                                            "; name the daemon with --kvpagerd"));
  }
  for (int i = 0; i < kStartAttempts; ++i) {
    if (tools::AskDaemon(socket_, "private daemon").ok()) return absl::OkStatus();
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      break;
    }
    tools::PauseUs(kStartPauseUs);
  }
  return absl::UnavailableError(absl::StrCat("kvpagerd did not start: ", ReadText(log)));
}

PrivateDaemon::~PrivateDaemon() {
  Stop(true);
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
}

}  // namespace kvpager::tools
