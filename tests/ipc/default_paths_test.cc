// tests/ipc/default_paths_test.cc
//
// Proves that the sockets are looked for where the header says, and that a directory which somebody
// else may write to is never used.

#include "ipc/default_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tests/ipc/temporary_directory.h"

namespace kvpager {
namespace {

using testing::HasSubstr;

// Sets or removes an environment variable for one test.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    const char* const before = std::getenv(name);
    was_set_ = before != nullptr;
    if (was_set_) before_ = before;
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~ScopedVariable() { was_set_ ? setenv(name_, before_.c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  bool was_set_ = false;
  std::string before_;
};

std::string InTmp() { return "/tmp/kvpager-" + std::to_string(geteuid()); }

TEST(DefaultPaths, TheRuntimeDirectoryIsUsedIfItIsOursAndWritable) {
  const TemporaryDirectory runtime;
  const ScopedVariable variable("XDG_RUNTIME_DIR", runtime.path().c_str());
  EXPECT_EQ(DefaultSocketPath(), runtime.path() + "/kvpager/kvpager.sock");
}

TEST(DefaultPaths, WithoutAUsableRuntimeDirectoryItIsPrivateInTmp) {
  {
    const ScopedVariable variable("XDG_RUNTIME_DIR", nullptr);
    EXPECT_EQ(DefaultSocketPath(), InTmp() + "/kvpager.sock");
  }
  for (const char* unusable : {"", "relative", "/nonexistent", "/dev/null"}) {
    const ScopedVariable variable("XDG_RUNTIME_DIR", unusable);
    EXPECT_EQ(DefaultSocketDirectory(), InTmp()) << unusable;
  }
}

TEST(DefaultPaths, ARuntimeDirectoryOfSomebodyElseIsNotUsed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  const TemporaryDirectory runtime;
  ASSERT_EQ(chown(runtime.path().c_str(), 65534, 65534), 0);
  const ScopedVariable variable("XDG_RUNTIME_DIR", runtime.path().c_str());
  EXPECT_EQ(DefaultSocketDirectory(), InTmp());
}

TEST(DefaultPaths, ClientsFollowTheirVariable) {
  const ScopedVariable variable("KVPAGER_SOCKET", "/run/elsewhere.sock");
  EXPECT_EQ(ClientSocketPath(), "/run/elsewhere.sock");
}

TEST(DefaultPaths, ClientsFallBackToTheDefaultPath) {
  const TemporaryDirectory runtime;
  const ScopedVariable socket("KVPAGER_SOCKET", "");
  const ScopedVariable variable("XDG_RUNTIME_DIR", runtime.path().c_str());
  const std::string path = ClientSocketPath();
  EXPECT_TRUE(path == DefaultSocketPath() || path == InTmp() + "/kvpager.sock") << path;
}

TEST(DefaultPaths, TheZmqSocketLiesBesideTheAttachSocket) {
  EXPECT_EQ(ZmqEndpointOf("/run/k/kvpager.sock"), "ipc:///run/k/kvpager.sock.zmq");
}

TEST(DefaultPaths, APathThatDoesNotFitASocketAddressIsRefusedWithBothLengths) {
  EXPECT_TRUE(CheckSocketPath("/" + std::string(102, 'a')).ok());
  const absl::Status status = CheckSocketPath("/" + std::string(103, 'a'));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has 104 bytes; unix sockets allow 103"));
  EXPECT_EQ(CheckSocketPath("relative.sock").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckSocketPath("").code(), absl::StatusCode::kInvalidArgument);
}

TEST(DefaultPaths, TheDefaultDirectoryIsMadeForItsOwnerAlone) {
  const TemporaryDirectory runtime;
  const ScopedVariable variable("XDG_RUNTIME_DIR", runtime.path().c_str());
  ASSERT_TRUE(PrepareSocketDirectory(DefaultSocketPath()).ok());
  struct stat info;
  ASSERT_EQ(stat(DefaultSocketDirectory().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_TRUE(PrepareSocketDirectory(DefaultSocketPath()).ok());  // Also when it is there.
}

TEST(DefaultPaths, ADefaultDirectoryThatOthersMayEnterIsRefused) {
  const TemporaryDirectory runtime;
  const ScopedVariable variable("XDG_RUNTIME_DIR", runtime.path().c_str());
  ASSERT_EQ(mkdir(DefaultSocketDirectory().c_str(), 0700), 0);
  ASSERT_EQ(chmod(DefaultSocketDirectory().c_str(), 0755), 0);
  EXPECT_THAT(std::string(PrepareSocketDirectory(DefaultSocketPath()).message()),
              HasSubstr("chmod 700"));
  if (geteuid() != 0) return;
  ASSERT_EQ(chmod(DefaultSocketDirectory().c_str(), 0700), 0);
  ASSERT_EQ(chown(DefaultSocketDirectory().c_str(), 65534, 65534), 0);
  EXPECT_THAT(std::string(PrepareSocketDirectory(DefaultSocketPath()).message()),
              HasSubstr("belongs to uid 65534"));
}

TEST(DefaultPaths, AnotherDirectoryIsNeverMade) {
  const TemporaryDirectory directory;
  const absl::Status status = PrepareSocketDirectory(directory.path() + "/missing/k.sock");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("make the directory"));
}

}  // namespace
}  // namespace kvpager
