// tests/e2e/process.h
//
// A child process: started with its output in a file, waited for, killed. And a directory that goes
// away with the test.
//
// Ownership: a Process that is destroyed kills and reaps its child. Thread-safety: one thread.
// Errors: a child that cannot be started exits with 127 and says so in its output.

#ifndef KVPAGER_TESTS_E2E_PROCESS_H_
#define KVPAGER_TESTS_E2E_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace kvpager::e2e {

// Below the build folder there is a real filesystem; the system's own place can be reached by every
// user, whoever owns the build folder.
enum class Place { kBuild, kSystem };

// A fresh directory that anybody may enter.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(Place place = Place::kBuild);
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

  // Gives the directory to the user `uid`. REQUIRES: root.
  void GiveTo(uid_t uid) const;

 private:
  std::string path_;
};

struct ProcessOptions {
  std::vector<std::string> command;                              // The program's path first.
  std::vector<std::pair<std::string, std::string>> environment;  // Beside PATH and the sanitizers'.
  std::string output_path;   // Of stdout and stderr together; appended to.
  std::optional<uid_t> uid;  // REQUIRES: root. Drops groups and capabilities, too.
  std::optional<uint64_t> file_size_bytes_max;  // RLIMIT_FSIZE.
  std::optional<uint64_t> memlock_bytes_max;    // RLIMIT_MEMLOCK.
  bool forbid_uring = false;                    // io_uring_setup fails with EPERM.
};

class Process {
 public:
  explicit Process(ProcessOptions options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();

  // Waits until the child ends, or `timeout_ms` have passed; true if it has ended.
  bool EndsWithin(uint32_t timeout_ms);

  // The exit status, or 128 + signal. Kills the child after `timeout_s` and returns -1.
  int Wait(uint32_t timeout_s);
  void Signal(int signal);

  // Everything it has written so far.
  std::string Output() const;

 private:
  ProcessOptions options_;
  pid_t pid_ = -1;
  std::optional<int> status_;
};

std::string ReadFileText(const std::string& path);
void WriteFileText(const std::string& path, const std::string& text);

// Where the build put kvpagerd, kvpagerctl, kvpager-replay.
std::string ProgramPath(const std::string& name);

}  // namespace kvpager::e2e

#endif  // KVPAGER_TESTS_E2E_PROCESS_H_
