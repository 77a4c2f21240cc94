#include "tests/e2e/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "memmgr/base/check.h"

namespace kvpager::e2e {
namespace {

void LimitTo(int resource, const std::optional<uint64_t>& bytes) {
  if (!bytes.has_value()) return;
  const struct rlimit limit = {*bytes, *bytes};
  if (setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) _exit(126);
}

// From here on io_uring_setup fails with EPERM, as in many containers.
void ForbidUring() {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    _exit(126);
  }
}

// What the child does between fork and exec: system calls only.
void BecomeChild(const ProcessOptions& options, char* const* arguments, char* const* environment) {
  const int output =
      open(options.output_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (output < 0 || input < 0) _exit(126);
  if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) _exit(126);
  LimitTo(RLIMIT_FSIZE, options.file_size_bytes_max);
  LimitTo(RLIMIT_MEMLOCK, options.memlock_bytes_max);
  if (options.uid.has_value()) {
    const uid_t uid = *options.uid;
    if (setgroups(0, nullptr) != 0 || setgid(uid) != 0 || setuid(uid) != 0) _exit(126);
  }
  if (options.forbid_uring) ForbidUring();
  execve(arguments[0], arguments, environment);
  const std::string complaint =
      std::string("cannot run ") + arguments[0] + ": " + std::strerror(errno) + "\n";
  if (write(2, complaint.data(), complaint.size()) < 0) _exit(126);
  _exit(127);
}

std::vector<std::string> EnvironmentOf(const ProcessOptions& options) {
  std::vector<std::string> environment;
  for (const char* name : {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) {
      environment.push_back(std::string(name) + "=" + value);
    }
  }
  for (const auto& [name, value] : options.environment) environment.push_back(name + "=" + value);
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

int ExitStatusOf(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TemporaryDirectory::TemporaryDirectory(Place place) {
  const std::string parent =
      place == Place::kBuild ? KVPAGER_E2E_DIR : std::filesystem::temp_directory_path().string();
  std::filesystem::create_directories(parent);
  std::string pattern = parent + "/kvp-XXXXXX";
  KVP_CHECK(mkdtemp(pattern.data()) != nullptr);
  KVP_CHECK(chmod(pattern.c_str(), 0755) == 0);
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TemporaryDirectory::GiveTo(uid_t uid) const { KVP_CHECK(chown(path_.c_str(), uid, uid) == 0); }

Process::Process(ProcessOptions options) : options_(std::move(options)) {
  std::vector<std::string> command = options_.command;
  std::vector<std::string> environment = EnvironmentOf(options_);
  const std::vector<char*> arguments = Pointers(command);
  const std::vector<char*> variables = Pointers(environment);
  pid_ = fork();
  KVP_CHECK(pid_ >= 0);
  if (pid_ == 0) BecomeChild(options_, arguments.data(), variables.data());
}

Process::~Process() {
  if (!running()) return;
  Signal(SIGKILL);
  int status = 0;
  waitpid(pid_, &status, 0);
}

bool Process::running() {
  if (status_.has_value()) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == 0) return true;
  status_ = ExitStatusOf(status);
  return false;
}

bool Process::EndsWithin(uint32_t timeout_ms) {
  if (!running()) return true;
  const int pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  KVP_CHECK(pid_fd >= 0);
  struct pollfd poll_fd = {pid_fd, POLLIN, 0};
  const int ready = poll(&poll_fd, 1, static_cast<int>(timeout_ms));
  close(pid_fd);
  return ready > 0 && !running();
}

int Process::Wait(uint32_t timeout_s) {
  if (EndsWithin(timeout_s * 1000)) return *status_;
  Signal(SIGKILL);
  int status = 0;
  KVP_CHECK(waitpid(pid_, &status, 0) == pid_);
  status_ = -1;
  return *status_;
}

void Process::Signal(int signal) {
  if (running()) kill(pid_, signal);
}

std::string Process::Output() const { return ReadFileText(options_.output_path); }

std::string ReadFileText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

void WriteFileText(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

std::string ProgramPath(const std::string& name) {
  return std::string(KVPAGER_PROGRAM_DIR) + "/" + name;
}

}  // namespace kvpager::e2e
