#include "memmgr/daemon/small_file.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvpager {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

class SmallFileTest : public ::testing::Test {
 protected:
  SmallFileTest() {
    char name[] = "/tmp/kvpager_small_XXXXXX";
    root_ = mkdtemp(name);
  }
  ~SmallFileTest() override { std::filesystem::remove_all(root_); }

  std::string root_;
};

TEST_F(SmallFileTest, WhatIsWrittenIsReadAndPrivate) {
  const std::string path = root_ + "/secret";
  ASSERT_TRUE(WriteSmallFile(path, "one").ok());
  ASSERT_TRUE(WriteSmallFile(path, "another").ok());
  const auto found = ReadSmallFile(path);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, std::optional<std::string>("another"));
  EXPECT_TRUE(CheckPrivate(path).ok());
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_F(SmallFileTest, AFileThatIsNotThereIsNothing) {
  const auto found = ReadSmallFile(root_ + "/none");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, std::nullopt);
}

TEST_F(SmallFileTest, AWriteThatFailsLeavesWhatWasThere) {
  const std::string path = root_ + "/secret";
  ASSERT_TRUE(WriteSmallFile(path, "one").ok());
  std::filesystem::create_directory(path + ".new");
  EXPECT_THAT(std::string(WriteSmallFile(path, "two").message()), HasSubstr("cannot write to"));
  EXPECT_EQ(*ReadSmallFile(path), std::optional<std::string>("one"));
}

TEST_F(SmallFileTest, RefusesWhatOthersMayRead) {
  const std::string path = root_ + "/open";
  ASSERT_TRUE(WriteSmallFile(path, "one").ok());
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  EXPECT_THAT(std::string(CheckPrivate(path).message()), EndsWith("run chmod 600 on it"));
}

TEST_F(SmallFileTest, TheCodeSaysWhatKindOfFailureItWas) {
  EXPECT_TRUE(absl::IsPermissionDenied(SystemError(EROFS, "write", "/f", "mend it")));
  EXPECT_TRUE(absl::IsResourceExhausted(SystemError(ENOSPC, "write", "/f", "mend it")));
  const absl::Status broken = SystemError(EIO, "write", "/f", "mend it");
  EXPECT_TRUE(absl::IsUnavailable(broken));
  EXPECT_THAT(std::string(broken.message()),
              AllOf(HasSubstr("cannot write /f: "), EndsWith("; mend it")));
}

}  // namespace
}  // namespace kvpager
