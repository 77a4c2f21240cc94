// tests/ipc/shm_region_test.cc
//
// Proves that shared memory is what was promised: of its size, sealed, and for readers only where
// it says so.

#include "ipc/shm_region.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <utility>

#include "memmgr/base/check.h"

namespace {

std::function<void(int)> after_fstat;  // What another process does right then; once.

}  // namespace

// The linker leads every fstat here (--wrap=fstat).
extern "C" int __real_fstat(int fd, struct stat* info);
extern "C" int __wrap_fstat(int fd, struct stat* info) {
  const int result = __real_fstat(fd, info);
  if (after_fstat) std::exchange(after_fstat, nullptr)(fd);
  return result;
}

namespace kvpager {
namespace {

using testing::HasSubstr;

UniqueFd Duplicate(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

ShmRegion MakeRegion(uint64_t bytes) {
  absl::StatusOr<ShmRegion> region = ShmRegion::Create("test", bytes);
  KVP_CHECK(region.ok());
  return *std::move(region);
}

std::string WhyNot(UniqueFd fd, uint64_t bytes) {
  return std::string(
      ShmRegion::Map("hbm", std::move(fd), bytes, Access::kReadOnly).status().message());
}

TEST(ShmRegion, WhatOneSideWritesTheOtherReads) {
  const ShmRegion writer = MakeRegion(5000);
  EXPECT_EQ(writer.bytes(), 8192u);
  const absl::StatusOr<ShmRegion> reader =
      ShmRegion::Map("test", Duplicate(writer.fd()), writer.bytes(), Access::kReadOnly);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->data()[8191], 0);
  writer.data()[8191] = 42;
  EXPECT_EQ(reader->data()[8191], 42);
}

TEST(ShmRegion, NobodyCanShrinkOrGrowIt) {
  const ShmRegion region = MakeRegion(4096);
  EXPECT_NE(ftruncate(region.fd(), 0), 0);
  EXPECT_NE(ftruncate(region.fd(), 8192), 0);
}

TEST(ShmRegion, AfterSealingNobodyCanMapItWritableAndItsOwnerStillWrites) {
  ShmRegion region = MakeRegion(4096);
  ASSERT_TRUE(region.SealAgainstWriters().ok());
  region.data()[0] = 7;
  EXPECT_EQ(
      ShmRegion::Map("test", Duplicate(region.fd()), 4096, Access::kReadWrite).status().code(),
      absl::StatusCode::kFailedPrecondition);
  const absl::StatusOr<ShmRegion> reader =
      ShmRegion::Map("test", Duplicate(region.fd()), 4096, Access::kReadOnly);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->data()[0], 7);
  EXPECT_NE(mprotect(reader->data(), 4096, PROT_READ | PROT_WRITE), 0);
  const uint8_t byte = 1;
  EXPECT_LT(pwrite(region.fd(), &byte, 1, 0), 0);
}

TEST(ShmRegion, ADescriptorThatIsSmallerThanPromisedIsRefused) {
  const ShmRegion region = MakeRegion(4096);
  EXPECT_THAT(WhyNot(Duplicate(region.fd()), 8192),
              HasSubstr("has 4096 bytes; 8192 were promised"));
  EXPECT_THAT(WhyNot(Duplicate(region.fd()), 0), HasSubstr("0 bytes"));
}

TEST(ShmRegion, ADescriptorThatCanShrinkIsRefused) {
  UniqueFd fd(memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(fd.get(), 4096), 0);
  EXPECT_THAT(WhyNot(std::move(fd), 4096), HasSubstr("not sealed against shrinking"));
}

TEST(ShmRegion, ADescriptorThatShrinksBetweenTheChecksIsRefused) {
  UniqueFd fd(memfd_create("late", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(fd.get(), 4096), 0);
  after_fstat = [](int late) {
    EXPECT_EQ(ftruncate(late, 0), 0);
    EXPECT_EQ(fcntl(late, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  };
  EXPECT_THAT(WhyNot(std::move(fd), 4096), HasSubstr("not sealed against shrinking"));
  EXPECT_EQ(after_fstat, nullptr);
}

TEST(ShmRegion, ADescriptorThatIsNoMemoryIsRefused) {
  EXPECT_THAT(WhyNot(UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)), 4096),
              HasSubstr("is not memory"));
  EXPECT_THAT(WhyNot(UniqueFd(), 4096), HasSubstr("is missing"));
}

TEST(ShmRegion, AMappedRegionIsNotThereInAForkedChild) {
  const ShmRegion writer = MakeRegion(4096);
  const absl::StatusOr<ShmRegion> reader =
      ShmRegion::Map("test", Duplicate(writer.fd()), 4096, Access::kReadOnly);
  ASSERT_TRUE(reader.ok());
  const pid_t child = fork();
  if (child == 0) {
    // mincore says ENOMEM of what is not mapped; unlike a read, it does not kill.
    unsigned char resident = 0;
    const bool reader_gone = mincore(reader->data(), 4096, &resident) != 0 && errno == ENOMEM;
    const bool writer_there = mincore(writer.data(), 4096, &resident) == 0;
    _exit(reader_gone && writer_there ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(ShmRegion, MovingLeavesNothingBehind) {
  ShmRegion a = MakeRegion(4096);
  a.data()[1] = 9;
  ShmRegion b = std::move(a);
  EXPECT_TRUE(a.is_none());  // NOLINT: what a moved-from region says is part of its contract.
  EXPECT_EQ(b.data()[1], 9);
  b = MakeRegion(4096);
  EXPECT_EQ(b.data()[1], 0);
}

}  // namespace
}  // namespace kvpager
