// That a data directory belongs to one daemon at a time and keeps its secret.

#include "memmgr/daemon/data_directory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvpager {
namespace {

using ::testing::HasSubstr;

class DataDirectoryTest : public ::testing::Test {
 protected:
  DataDirectoryTest() {
    char name[] = "/tmp/kvpager_data_XXXXXX";
    root_ = mkdtemp(name);
  }
  ~DataDirectoryTest() override { std::filesystem::remove_all(root_); }

  std::string root_;
};

TEST_F(DataDirectoryTest, IsMadeForTheOwnerAloneWithItsParents) {
  const std::string path = root_ + "/a/b/c";
  const auto directory = DataDirectory::Open(path);
  ASSERT_TRUE(directory.ok()) << directory.status();
  struct stat state {};
  ASSERT_EQ(stat(path.c_str(), &state), 0);
  EXPECT_EQ(state.st_mode & 0777, 0700u);
  ASSERT_EQ(stat((path + "/secret").c_str(), &state), 0);
  EXPECT_EQ(state.st_mode & 0777, 0600u);
}

TEST_F(DataDirectoryTest, KeepsItsSecret) {
  std::string secret;
  {
    const auto directory = DataDirectory::Open(root_);
    ASSERT_TRUE(directory.ok());
    secret = directory->secret();
    EXPECT_EQ(secret.size(), 32u);
  }
  const auto again = DataDirectory::Open(root_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->secret(), secret);
  EXPECT_NE(DataDirectory::Open(root_ + "/other")->secret(), secret);
}

TEST_F(DataDirectoryTest, WithoutADirectoryTheSecretIsNewEveryTime) {
  const auto first = DataDirectory::Open("");
  const auto second = DataDirectory::Open("");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  EXPECT_NE(first->secret(), second->secret());
}

TEST_F(DataDirectoryTest, RefusesASecondDaemonAndSaysWhichIsThere) {
  const auto first = DataDirectory::Open(root_);
  ASSERT_TRUE(first.ok());
  const auto second = DataDirectory::Open(root_);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another kvpagerd (pid "));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(root_));
}

TEST_F(DataDirectoryTest, RefusesASecretThatOthersMayReadOrThatIsCutShort) {
  { ASSERT_TRUE(DataDirectory::Open(root_).ok()); }
  const std::string name = root_ + "/secret";
  ASSERT_EQ(chmod(name.c_str(), 0644), 0);
  EXPECT_THAT(std::string(DataDirectory::Open(root_).status().message()), HasSubstr("chmod 600"));
  ASSERT_EQ(chmod(name.c_str(), 0600), 0);
  ASSERT_EQ(truncate(name.c_str(), 5), 0);
  EXPECT_THAT(std::string(DataDirectory::Open(root_).status().message()),
              HasSubstr("has not the 32 bytes"));
}

TEST_F(DataDirectoryTest, SaysWhatToChangeWhereItMayNotWrite) {
  const std::string file = root_ + "/file";
  std::ofstream(file) << "x";
  const auto inside_a_file = DataDirectory::Open(file + "/data");
  ASSERT_FALSE(inside_a_file.ok());
  EXPECT_THAT(std::string(inside_a_file.status().message()), HasSubstr("set nvme.path"));
}

}  // namespace
}  // namespace kvpager
