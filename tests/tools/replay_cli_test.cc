// Proves that kvpager-replay answers bad input with one clear sentence and the exit code that its
// help promises, before it does anything.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace kvpager::replay {
namespace {

using testing::HasSubstr;

struct Outcome {
  int exit_code = -1;
  std::string said;  // On both standard streams.
};

Outcome RunReplay(const std::string& arguments) {
  Outcome outcome;
  const std::string command = absl::StrCat(KVPAGER_REPLAY, " ", arguments, " 2>&1");
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) outcome.said += buffer;
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

void ExpectRefusal(const std::string& arguments, const std::string& said) {
  const Outcome outcome = RunReplay(arguments);
  EXPECT_EQ(outcome.exit_code, 2) << arguments << ": " << outcome.said;
  EXPECT_THAT(outcome.said, HasSubstr(said));
}

TEST(ReplayCommandLine, RefusesWhatContradictsItself) {
  ExpectRefusal("--nonsense", "--nonsense");
  ExpectRefusal("--in-flight 0", "--in-flight");
  ExpectRefusal("--shared-namespace", "--shared-namespace needs --engines 2 or more");
  ExpectRefusal("--layers 4 --layers-per-page 3", "layers_per_page");
  ExpectRefusal("--query-heads 3", "--query-heads must be a multiple of --kv-heads");
  ExpectRefusal("--inject corrupt=x", "--inject takes corrupt=N");
  ExpectRefusal("--inject-file /nowhere", "--inject-file is for --inject");
}

TEST(ReplayCommandLine, RefusesATraceWithGarbageAndNamesTheLine) {
  const std::string path = absl::StrCat(testing::TempDir(), "/replay_cli_test.", getpid());
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fputs("\nthis is not JSON\n", file);
  ASSERT_EQ(std::fclose(file), 0);
  ExpectRefusal(absl::StrCat("--trace ", path), absl::StrCat(path, ":2: not JSON"));
  std::remove(path.c_str());
  ExpectRefusal(absl::StrCat("--trace ", path), "No such file");
}

TEST(ReplayCommandLine, SaysThatNoDaemonIsThere) {
  const Outcome outcome = RunReplay("--socket /nonexistent/kvpager.sock --requests 1");
  EXPECT_EQ(outcome.exit_code, 3) << outcome.said;
  EXPECT_THAT(outcome.said, HasSubstr("/nonexistent/kvpager.sock"));
}

TEST(ReplayCommandLine, HelpIsNotAnError) {
  const Outcome outcome = RunReplay("--help");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.said, HasSubstr("--max-ratio-gap"));
}

}  // namespace
}  // namespace kvpager::replay
