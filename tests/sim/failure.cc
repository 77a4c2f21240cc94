#include "tests/sim/failure.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace kvpager::sim {
namespace {

constexpr size_t kLineMax = 256;
char reproduction[kLineMax] = "reproduce: unknown\n";
void (*on_failure)() = nullptr;

void WriteLine() {
  if (on_failure != nullptr) on_failure();
  const ssize_t written = write(STDERR_FILENO, reproduction, std::strlen(reproduction));
  static_cast<void>(written);
}

void OnSignal(int signal_number) {
  std::signal(signal_number, SIG_DFL);
  WriteLine();
  _exit(1);
}

}  // namespace

void SetReproduction(const std::string& command_line) {
  std::snprintf(reproduction, kLineMax, "reproduce: %s\n", command_line.c_str());
  std::signal(SIGABRT, OnSignal);
  std::signal(SIGSEGV, OnSignal);
}

void SetLastWords(void (*last_words)()) { on_failure = last_words; }

void Fail(const std::string& what) {
  std::fprintf(stderr, "simulator: %s\n", what.c_str());
  std::fflush(stdout);
  WriteLine();
  _exit(1);
}

}  // namespace kvpager::sim
