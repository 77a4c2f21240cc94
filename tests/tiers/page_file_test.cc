// Proves what opening a page file accepts, what it refuses and in which words, and that nothing
// that was in a file is touched by a refusal.

#include "tiers/nvme/page_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memmgr/base/units.h"
#include "tests/tiers/tier_testing.h"

namespace kvpager {
namespace {

using ::testing::HasSubstr;

class PageFileTest : public ::testing::Test {
 protected:
  PageFile::Options OptionsFor(uint64_t incarnation) const {
    return {.path = path_,
            .geometry = testing::SmallGeometry(),
            .model_fingerprint = "llama-8b",
            .frames = 64,
            .incarnation = incarnation,
            .lock_wait_ms = 0};
  }
  std::unique_ptr<PageFile> MustOpen(const PageFile::Options& options) const {
    auto file = PageFile::Open(options);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  std::string Bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  void Poke(uint64_t offset, const std::string& bytes) const {
    const int fd = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
    close(fd);
  }
  // The refusal's message; the file's bytes must be as before.
  std::string Refusal(const PageFile::Options& options, absl::StatusCode code) const {
    const std::string before = Bytes();
    const auto file = PageFile::Open(options);
    EXPECT_EQ(file.status().code(), code) << file.status();
    EXPECT_TRUE(Bytes() == before);
    return std::string(file.status().message());
  }

  testing::TempFolder folder_;
  std::string path_ = folder_.File("pages");
};

TEST_F(PageFileTest, IsReservedWholeWhenCreated) {
  const auto file = MustOpen(OptionsFor(1));
  EXPECT_TRUE(file->created());
  EXPECT_FALSE(file->was_clean());
  EXPECT_EQ(file->incarnation_previous(), 0u);
  EXPECT_EQ(file->OffsetOf(FrameIndex{0}), kSuperblockBytes);
  EXPECT_EQ(file->OffsetOf(FrameIndex{5}), kSuperblockBytes + 5 * file->frame_bytes());
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), kSuperblockBytes + 64 * file->frame_bytes());
  EXPECT_GE(info.st_blocks * 512, info.st_size);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(PageFileTest, RemembersWhetherItWasClosed) {
  MustOpen(OptionsFor(1));
  {
    const auto file = MustOpen(OptionsFor(2));
    EXPECT_FALSE(file->created());
    EXPECT_FALSE(file->was_clean());
    EXPECT_EQ(file->incarnation_previous(), 1u);
    ASSERT_TRUE(file->MarkClean().ok());
  }
  {
    const auto file = MustOpen(OptionsFor(3));
    EXPECT_TRUE(file->was_clean());
    EXPECT_EQ(file->incarnation_previous(), 2u);
  }
  EXPECT_FALSE(MustOpen(OptionsFor(4))->was_clean());
}

TEST_F(PageFileTest, RefusesASecondOwner) {
  const auto file = MustOpen(OptionsFor(1));
  const auto second = PageFile::Open(OptionsFor(2));
  ASSERT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(path_ + ": another process is using this page file"));
  const int status = testing::RunInChild([&] {
    const auto third = PageFile::Open(OptionsFor(3));
    KVP_CHILD_CHECK(third.status().code() == absl::StatusCode::kFailedPrecondition);
    return 0;
  });
  EXPECT_TRUE(testing::ExitedWell(status));
}

TEST_F(PageFileTest, WaitsForAnOwnerThatIsGoing) {
  int to_child[2];
  int to_parent[2];
  ASSERT_EQ(pipe(to_child), 0);
  ASSERT_EQ(pipe(to_parent), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  char byte = 0;
  if (child == 0) {
    // Owns the file until the parent closes its end.
    close(to_child[1]);
    const auto file = PageFile::Open(OptionsFor(1));
    if (!file.ok() || write(to_parent[1], "x", 1) != 1) _exit(1);
    _exit(read(to_child[0], &byte, 1) == 0 ? 0 : 1);
  }
  ASSERT_EQ(read(to_parent[0], &byte, 1), 1);
  ASSERT_EQ(PageFile::Open(OptionsFor(2)).status().code(), absl::StatusCode::kFailedPrecondition);
  close(to_child[1]);
  PageFile::Options options = OptionsFor(2);
  options.lock_wait_ms = 60'000;
  EXPECT_TRUE(PageFile::Open(options).ok());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(testing::ExitedWell(status));
  for (int fd : {to_child[0], to_parent[0], to_parent[1]}) close(fd);
}

TEST_F(PageFileTest, RefusesAnotherGeometryAndNamesTheField) {
  MustOpen(OptionsFor(1));
  PageFile::Options other = OptionsFor(2);
  other.geometry.num_kv_heads = 4;
  const std::string message = Refusal(other, absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(message, HasSubstr("its num_kv_heads is 2, the pool's is 4"));
  EXPECT_THAT(message, HasSubstr("choose another nvme path"));
}

TEST_F(PageFileTest, RefusesAnotherModelAndNamesBoth) {
  MustOpen(OptionsFor(1));
  PageFile::Options other = OptionsFor(2);
  other.model_fingerprint = "qwen-7b";
  const std::string message = Refusal(other, absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(message, HasSubstr("\"llama-8b\""));
  EXPECT_THAT(message, HasSubstr("\"qwen-7b\""));
}

TEST_F(PageFileTest, RefusesAnotherFormatVersion) {
  MustOpen(OptionsFor(1));
  Poke(8, std::string("\x09\x00\x00\x00", 4));
  EXPECT_THAT(Refusal(OptionsFor(2), absl::StatusCode::kFailedPrecondition),
              HasSubstr("format version 9"));
}

TEST_F(PageFileTest, RefusesADamagedSuperblock) {
  MustOpen(OptionsFor(1));
  Poke(90, "x");
  EXPECT_THAT(Refusal(OptionsFor(2), absl::StatusCode::kFailedPrecondition),
              HasSubstr("superblock of the page file is damaged"));
}

TEST_F(PageFileTest, RefusesAFileThatIsNotItsOwn) {
  std::ofstream(path_) << std::string(10'000, 'a');
  EXPECT_THAT(Refusal(OptionsFor(2), absl::StatusCode::kFailedPrecondition),
              HasSubstr("not a page file of kvpager"));
  std::ofstream(path_) << "short";
  Refusal(OptionsFor(2), absl::StatusCode::kFailedPrecondition);
  std::ofstream(path_) << std::string(100'000, '\0');
  Refusal(OptionsFor(2), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PageFileTest, RefusesAFolderThatDoesNotExist) {
  PageFile::Options options = OptionsFor(1);
  options.path = folder_.File("nowhere/pages");
  const auto file = PageFile::Open(options);
  EXPECT_EQ(file.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("in a folder that exists"));
}

TEST_F(PageFileTest, RefusesFramesThatAreNoWholeBlocks) {
  PageFile::Options options = OptionsFor(1);
  options.frames = 63;
  EXPECT_EQ(PageFile::Open(options).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(PageFileTest, GrowsAndKeepsWhatItHas) {
  std::string before;
  {
    const auto file = MustOpen(OptionsFor(1));
    before = "frame three";
    Poke(file->OffsetOf(FrameIndex{3}), before);
    ASSERT_TRUE(file->MarkClean().ok());
  }
  PageFile::Options larger = OptionsFor(2);
  larger.frames = 128;
  {
    const auto file = MustOpen(larger);
    EXPECT_TRUE(file->was_clean());
    EXPECT_EQ(file->frames(), 128u);
    EXPECT_EQ(std::filesystem::file_size(path_), kSuperblockBytes + 128 * file->frame_bytes());
    EXPECT_EQ(Bytes().substr(file->OffsetOf(FrameIndex{3}), before.size()), before);
  }
  // Smaller again: the file keeps its size.
  const auto file = MustOpen(OptionsFor(3));
  EXPECT_EQ(file->frames(), 64u);
  EXPECT_THAT(std::string(file->detail()), HasSubstr("the first 64 are used"));
  EXPECT_EQ(std::filesystem::file_size(path_), kSuperblockBytes + 128 * file->frame_bytes());
}

TEST_F(PageFileTest, SaysWhatIsMissingWhenAFileMayNotGetThatLarge) {
  const int status = testing::RunInChild([&] {
    const struct rlimit limit { .rlim_cur = 64 * kKiB, .rlim_max = 64 * kKiB };
    KVP_CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const auto file = PageFile::Open(OptionsFor(1));
    std::fprintf(stderr, "%s\n", file.status().ToString().c_str());
    KVP_CHILD_CHECK(file.status().code() == absl::StatusCode::kResourceExhausted);
    const std::string message(file.status().message());
    KVP_CHILD_CHECK(message.find("needs 790528 bytes") != std::string::npos);
    KVP_CHILD_CHECK(message.find("at most 65536 here") != std::string::npos);
    KVP_CHILD_CHECK(!std::filesystem::exists(path_));
    return 0;
  });
  EXPECT_TRUE(testing::ExitedWell(status)) << status;
}

TEST_F(PageFileTest, ThatCannotGrowStaysAsItWas) {
  {
    const auto file = MustOpen(OptionsFor(1));
    ASSERT_TRUE(file->MarkClean().ok());
  }
  const std::string before = Bytes();
  const int status = testing::RunInChild([&] {
    const struct rlimit limit { .rlim_cur = kMiB, .rlim_max = kMiB };
    KVP_CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    PageFile::Options larger = OptionsFor(2);
    larger.frames = 1024;
    KVP_CHILD_CHECK(PageFile::Open(larger).status().code() == absl::StatusCode::kResourceExhausted);
    return 0;
  });
  EXPECT_TRUE(testing::ExitedWell(status)) << status;
  EXPECT_TRUE(Bytes() == before);
  EXPECT_TRUE(MustOpen(OptionsFor(3))->was_clean());
}

TEST_F(PageFileTest, SaysWhetherIoIsDirect) {
  const auto file = MustOpen(OptionsFor(1));
  EXPECT_THAT(std::string(file->detail()), HasSubstr(file->direct() ? "direct I/O" : "refuses"));
  PageFile::Options buffered = OptionsFor(1);
  buffered.path = folder_.File("buffered");
  buffered.direct_io = DirectIo::kNever;
  const auto other = MustOpen(buffered);
  EXPECT_FALSE(other->direct());
  EXPECT_THAT(std::string(other->detail()), HasSubstr("buffered"));
}

}  // namespace
}  // namespace kvpager
