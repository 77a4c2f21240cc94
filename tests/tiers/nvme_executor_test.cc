// Proves, for io_uring and for threads alike, that frames come back as they were written, and that
// a flipped byte, a stale frame, a torn frame or a short transfer is reported and never served.

#include "tiers/nvme/nvme_executor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memmgr/base/units.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/nvme/frame_header.h"
#include "tiers/nvme/page_sealer.h"

namespace kvpager {
namespace {

using testing::Await;
using testing::Fill;
using testing::HasFill;
using ::testing::HasSubstr;
using testing::Perform;

constexpr Stamp kStamp{.incarnation = 5, .counter = 6};

struct Rig {
  explicit Rig(NvmeBackend backend, uint32_t frames = 64) {
    file = *PageFile::Open({.path = folder.File("pages"),
                            .geometry = geometry,
                            .model_fingerprint = "m",
                            .frames = frames,
                            .incarnation = 5});
    arena = *HostArena::Create({.geometry = geometry, .frames = frames});
    executor = *NvmeExecutor::Create(
        {.arena = arena.get(), .file = file.get(), .depth = 16, .backend = backend});
  }

  // Puts payload `seed` of `page` into a host frame, as a copy from HBM would.
  void Put(uint32_t frame, uint64_t seed, uint32_t page) {
    Fill(arena->payload(FrameIndex{frame}), seed);
    SetHostPart(arena->header(FrameIndex{frame}), PageIndex{page},
                arena->payload(FrameIndex{frame}));
  }
  CopyOp Copy(Channel channel, uint32_t source, uint32_t target, uint32_t page) {
    return {.op = {.slot = next_op++, .generation = 1},
            .channel = channel,
            .source = FrameIndex{source},
            .target = FrameIndex{target},
            .page = PageIndex{page},
            .key = {{10, page}},
            .parent_key = {{11, page}},
            .stamp = kStamp,
            .group = page % 4};
  }
  CopyOp Write(uint32_t host, uint32_t nvme, uint32_t page) {
    return Copy(Channel::kHostToNvme, host, nvme, page);
  }
  CopyOp Read(uint32_t nvme, uint32_t host, uint32_t page) {
    return Copy(Channel::kNvmeToHost, nvme, host, page);
  }
  // Changes a byte of a frame on disk, behind the executor's back.
  void FlipOnDisk(uint32_t frame, uint64_t offset) {
    const uint64_t at = file->OffsetOf(FrameIndex{frame}) + offset;
    const int fd = open(file->path().c_str(), O_RDWR | O_CLOEXEC);
    char byte = 0;
    EXPECT_EQ(pread(fd, &byte, 1, static_cast<off_t>(at)), 1);
    byte = static_cast<char>(byte ^ 0x20);
    EXPECT_EQ(pwrite(fd, &byte, 1, static_cast<off_t>(at)), 1);
    EXPECT_EQ(fsync(fd), 0);
    close(fd);
  }

  testing::TempFolder folder;
  Geometry geometry = testing::SmallGeometry();
  std::unique_ptr<PageFile> file;
  std::unique_ptr<HostArena> arena;
  std::unique_ptr<NvmeExecutor> executor;
  uint32_t next_op = 0;
};

class NvmeExecutorTest : public ::testing::TestWithParam<NvmeBackend> {
 protected:
  Rig rig_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Backends, NvmeExecutorTest,
                         ::testing::Values(NvmeBackend::kAuto, NvmeBackend::kThreads),
                         [](const auto& test) {
                           return test.param == NvmeBackend::kAuto ? "Auto" : "Threads";
                         });

TEST_P(NvmeExecutorTest, RoundTripsAFrame) {
  rig_.Put(1, 100, 7);
  EXPECT_EQ(Perform(*rig_.executor, rig_.Write(1, 9, 7)).outcome, Outcome::kOk);
  // The host copy is still good for a promotion.
  EXPECT_TRUE(HostPartNames(rig_.arena->header(FrameIndex{1}), PageIndex{7},
                            rig_.geometry.payload_bytes()));
  // Under another page index: the block's row may have changed.
  CopyOp read = rig_.Read(9, 2, 7);
  read.page = PageIndex{33};
  EXPECT_EQ(Perform(*rig_.executor, read).outcome, Outcome::kOk);
  EXPECT_TRUE(HasFill(rig_.arena->payload(FrameIndex{2}), 100));
  EXPECT_TRUE(HostPartNames(rig_.arena->header(FrameIndex{2}), PageIndex{33},
                            rig_.geometry.payload_bytes()));
  // What was read can be written again, as the page it now is.
  EXPECT_EQ(Perform(*rig_.executor, rig_.Write(2, 10, 33)).outcome, Outcome::kOk);
  const NvmeStats stats = rig_.executor->stats();
  EXPECT_EQ(stats.reads, 1u);
  EXPECT_EQ(stats.writes, 2u);
  EXPECT_EQ(stats.written_bytes, 2 * rig_.file->frame_bytes());
  EXPECT_EQ(stats.corrupt + stats.failed, 0u);
}

TEST_P(NvmeExecutorTest, RefusesToWriteAHostFrameThatChanged) {
  rig_.Put(1, 100, 7);
  rig_.arena->frame(FrameIndex{1})[1234] ^= std::byte{1};
  EXPECT_EQ(Perform(*rig_.executor, rig_.Write(1, 9, 7)).outcome, Outcome::kCorrupt);
  rig_.arena->frame(FrameIndex{1})[1234] ^= std::byte{1};
  EXPECT_EQ(Perform(*rig_.executor, rig_.Write(1, 9, 8)).outcome, Outcome::kCorrupt);
  EXPECT_EQ(Perform(*rig_.executor, rig_.Write(1, 9, 7)).outcome, Outcome::kOk);
  EXPECT_EQ(rig_.executor->stats().corrupt, 2u);
}

TEST_P(NvmeExecutorTest, ReportsEveryFlippedByteOnDiskAsCorrupt) {
  rig_.Put(1, 100, 7);
  Perform(*rig_.executor, rig_.Write(1, 9, 7));
  const uint64_t header = rig_.geometry.frame_bytes_hbm();
  for (uint64_t at : {uint64_t{0}, uint64_t{4097}, header - 1, header, header + 13, header + 24,
                      header + 40, header + 56, header + 80, header + 88, header + 124}) {
    rig_.FlipOnDisk(9, at);
    EXPECT_EQ(Perform(*rig_.executor, rig_.Read(9, 2, 7)).outcome, Outcome::kCorrupt) << at;
    rig_.FlipOnDisk(9, at);
  }
  EXPECT_EQ(Perform(*rig_.executor, rig_.Read(9, 2, 7)).outcome, Outcome::kOk);
}

TEST_P(NvmeExecutorTest, ReportsAStaleStampAWrongGroupOrAnotherKeyAsCorrupt) {
  rig_.Put(1, 100, 7);
  Perform(*rig_.executor, rig_.Write(1, 9, 7));
  CopyOp read = rig_.Read(9, 2, 7);
  read.stamp.counter += 1;
  EXPECT_EQ(Perform(*rig_.executor, read).outcome, Outcome::kCorrupt);
  read = rig_.Read(9, 2, 7);
  read.stamp.incarnation += 1;
  EXPECT_EQ(Perform(*rig_.executor, read).outcome, Outcome::kCorrupt);
  read = rig_.Read(9, 2, 7);
  read.group += 1;
  EXPECT_EQ(Perform(*rig_.executor, read).outcome, Outcome::kCorrupt);
  read = rig_.Read(9, 2, 7);
  read.key.words[0] += 1;
  EXPECT_EQ(Perform(*rig_.executor, read).outcome, Outcome::kCorrupt);
  EXPECT_EQ(Perform(*rig_.executor, rig_.Read(10, 2, 7)).outcome, Outcome::kCorrupt)
      << "a frame that was never written";
}

// A write that the power cut interrupted: some sectors are new, some are old.
TEST_P(NvmeExecutorTest, ReportsATornFrameAsCorrupt) {
  rig_.Put(1, 100, 7);
  rig_.Put(2, 200, 7);
  Perform(*rig_.executor, rig_.Write(1, 9, 7));
  CopyOp newer = rig_.Write(2, 10, 7);
  newer.stamp.counter += 1;
  Perform(*rig_.executor, newer);
  // Frame 9 gets the newer header over the older payload, then the other way round.
  const int fd = open(rig_.file->path().c_str(), O_RDWR | O_CLOEXEC);
  const auto offset_9 = static_cast<off_t>(rig_.file->OffsetOf(FrameIndex{9}));
  const auto offset_10 = static_cast<off_t>(rig_.file->OffsetOf(FrameIndex{10}));
  const auto payload_bytes = static_cast<off_t>(rig_.geometry.frame_bytes_hbm());
  std::vector<char> sector(512);
  ASSERT_EQ(pread(fd, sector.data(), 512, offset_10 + payload_bytes), 512);
  ASSERT_EQ(pwrite(fd, sector.data(), 512, offset_9 + payload_bytes), 512);
  ASSERT_EQ(pread(fd, sector.data(), 512, offset_9), 512);
  ASSERT_EQ(pwrite(fd, sector.data(), 512, offset_10), 512);
  ASSERT_EQ(fsync(fd), 0);
  close(fd);
  for (uint32_t frame : {9u, 10u}) {
    CopyOp read = rig_.Read(frame, 3, 7);
    EXPECT_EQ(Perform(*rig_.executor, read).outcome, Outcome::kCorrupt);
    read.stamp = newer.stamp;
    EXPECT_EQ(Perform(*rig_.executor, read).outcome, Outcome::kCorrupt);
  }
}

TEST_P(NvmeExecutorTest, ReportsAShortReadAsFailed) {
  rig_.Put(1, 100, 63);
  Perform(*rig_.executor, rig_.Write(1, 63, 63));
  const uint64_t cut = rig_.file->OffsetOf(FrameIndex{63}) + 4096;
  ASSERT_EQ(truncate(rig_.file->path().c_str(), static_cast<off_t>(cut)), 0);
  EXPECT_EQ(Perform(*rig_.executor, rig_.Read(63, 2, 63)).outcome, Outcome::kFailed);
  ASSERT_EQ(truncate(rig_.file->path().c_str(), 4096), 0);
  const Completion completion = Perform(*rig_.executor, rig_.Read(63, 2, 63));
  EXPECT_EQ(completion.outcome, Outcome::kFailed);
  EXPECT_NE(completion.os_error, 0);
  EXPECT_EQ(rig_.executor->stats().failed, 2u);
}

TEST_P(NvmeExecutorTest, CompletesEveryOperationOfAMixedLoadOnce) {
  std::vector<CopyOp> writes;
  for (uint32_t i = 0; i < 32; ++i) {
    rig_.Put(i, 1000 + i, i);
    writes.push_back(rig_.Write(i, i, i));
  }
  rig_.executor->Submit(writes);
  for (const Completion& completion : Await(*rig_.executor, 32)) {
    EXPECT_EQ(completion.outcome, Outcome::kOk);
  }
  std::vector<CopyOp> mixed;
  for (uint32_t i = 0; i < 32; ++i) {
    mixed.push_back(rig_.Write(i, 32 + i, i));
    mixed.push_back(rig_.Read(i, 32 + i, i));
  }
  for (uint32_t i = 0; i < mixed.size(); i += 5) {
    rig_.executor->Submit(absl::MakeConstSpan(mixed).subspan(i, 5));
  }
  std::vector<int> seen(rig_.next_op);
  for (const Completion& completion : Await(*rig_.executor, 64)) {
    EXPECT_EQ(completion.outcome, Outcome::kOk);
    ++seen[completion.op.slot];
  }
  for (const CopyOp& copy : mixed) EXPECT_EQ(seen[copy.op.slot], 1);
  for (uint32_t i = 0; i < 32; ++i) {
    EXPECT_TRUE(HasFill(rig_.arena->payload(FrameIndex{32 + i}), 1000 + i));
  }
}

TEST_P(NvmeExecutorTest, FinishesWhatWasSubmittedBeforeItGoes) {
  std::vector<CopyOp> writes;
  for (uint32_t i = 0; i < 64; ++i) {
    rig_.Put(i, i, i);
    writes.push_back(rig_.Write(i, i, i));
  }
  rig_.executor->Submit(writes);
  rig_.executor.reset();
  auto executor = *NvmeExecutor::Create(
      {.arena = rig_.arena.get(), .file = rig_.file.get(), .backend = GetParam()});
  for (uint32_t i = 0; i < 64; ++i) {
    EXPECT_EQ(Perform(*executor, rig_.Read(i, 0, i)).outcome, Outcome::kOk);
    EXPECT_TRUE(HasFill(rig_.arena->payload(FrameIndex{0}), i));
  }
}

class SealedNvmeTest : public NvmeExecutorTest {
 protected:
  SealedNvmeTest() {
    sealer_.SetKey(NamespaceId{0}, {1, 2, 3});
    sealer_.SetKey(NamespaceId{1}, {1, 2, 4});
    rig_.executor = *NvmeExecutor::Create({.arena = rig_.arena.get(),
                                           .file = rig_.file.get(),
                                           .depth = 16,
                                           .backend = GetParam(),
                                           .sealer = &sealer_});
  }
  ~SealedNvmeTest() override { rig_.executor.reset(); }
  CopyOp Of(NamespaceId name_space, CopyOp copy) const {
    copy.name_space = name_space;
    return copy;
  }
  Outcome Write(uint32_t host, uint32_t nvme, uint32_t page, NamespaceId name = NamespaceId{0}) {
    return Perform(*rig_.executor, Of(name, rig_.Write(host, nvme, page))).outcome;
  }
  Outcome Read(uint32_t nvme, uint32_t host, uint32_t page, NamespaceId name = NamespaceId{0}) {
    return Perform(*rig_.executor, Of(name, rig_.Read(nvme, host, page))).outcome;
  }

  PageSealer sealer_;
};

INSTANTIATE_TEST_SUITE_P(Backends, SealedNvmeTest,
                         ::testing::Values(NvmeBackend::kAuto, NvmeBackend::kThreads),
                         [](const auto& test) {
                           return test.param == NvmeBackend::kAuto ? "Auto" : "Threads";
                         });

TEST_P(SealedNvmeTest, RoundTripsMoreFramesThanItHasBuffersFor) {
  std::vector<CopyOp> writes;
  for (uint32_t i = 0; i < 64; ++i) {
    rig_.Put(i, i, i);
    writes.push_back(Of(NamespaceId{i % 2}, rig_.Write(i, i, i)));
  }
  rig_.executor->Submit(writes);
  for (const Completion& done : Await(*rig_.executor, writes.size())) {
    EXPECT_EQ(done.outcome, Outcome::kOk);
  }
  for (uint32_t i = 0; i < 64; ++i) {
    EXPECT_EQ(Read(63 - i, i, 63 - i, NamespaceId{(63 - i) % 2}), Outcome::kOk);
    EXPECT_TRUE(HasFill(rig_.arena->payload(FrameIndex{i}), 63 - i));
    // What was read is as good as what was never away.
    EXPECT_TRUE(HostPartNames(rig_.arena->header(FrameIndex{i}), PageIndex{63 - i},
                              rig_.geometry.payload_bytes()));
  }
  EXPECT_EQ(Write(5, 9, 58), Outcome::kOk);
}

TEST_P(SealedNvmeTest, NoFrameOnDiskHoldsItsPlaintext) {
  rig_.Put(1, 100, 7);
  const absl::Span<const std::byte> payload = rig_.arena->payload(FrameIndex{1});
  const std::vector<std::byte> plain(payload.begin(), payload.end());
  ASSERT_EQ(Write(1, 9, 7), Outcome::kOk);
  EXPECT_TRUE(HasFill(payload, 100));  // The host copy is untouched.
  std::vector<std::byte> frame(rig_.file->frame_bytes());
  const int fd = open(rig_.file->path().c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(
      pread(fd, frame.data(), frame.size(), static_cast<off_t>(rig_.file->OffsetOf(FrameIndex{9}))),
      static_cast<ssize_t>(frame.size()));
  close(fd);
  constexpr size_t kPiece = 16;  // A block of the cipher.
  for (size_t at = 0; at + kPiece <= plain.size(); at += kPiece) {
    EXPECT_EQ(std::search(frame.begin(), frame.end(), plain.begin() + static_cast<ptrdiff_t>(at),
                          plain.begin() + static_cast<ptrdiff_t>(at + kPiece)),
              frame.end());
    if (at > 16 * kPiece) break;
  }
}

TEST_P(SealedNvmeTest, OnlyTheNamespaceThatWroteAFrameReadsIt) {
  rig_.Put(1, 100, 7);
  ASSERT_EQ(Write(1, 9, 7), Outcome::kOk);
  EXPECT_EQ(Read(9, 2, 7, NamespaceId{1}), Outcome::kCorrupt);
  EXPECT_EQ(Read(9, 2, 7, NamespaceId{2}), Outcome::kCorrupt);  // It has no key.
  EXPECT_EQ(Write(1, 10, 7, NamespaceId{2}), Outcome::kCorrupt);
  EXPECT_EQ(Read(9, 2, 7), Outcome::kOk);
  sealer_.ForgetKey(NamespaceId{0});
  EXPECT_EQ(Read(9, 2, 7), Outcome::kCorrupt);
}

TEST_P(SealedNvmeTest, AChangedBitAnywhereIsNoticed) {
  for (const uint64_t offset :
       {uint64_t{0}, rig_.geometry.payload_bytes() - 1, rig_.file->frame_bytes() - 4096 + 41,
        rig_.file->frame_bytes() - 4096 + 100, rig_.file->frame_bytes() - 4096 + 120}) {
    rig_.Put(1, 100, 7);
    ASSERT_EQ(Write(1, 9, 7), Outcome::kOk);
    rig_.FlipOnDisk(9, offset);
    EXPECT_EQ(Read(9, 2, 7), Outcome::kCorrupt) << offset;
  }
}

TEST_P(SealedNvmeTest, PlainAndSealedFramesAreNotTakenForEachOther) {
  rig_.Put(1, 100, 7);
  ASSERT_EQ(Write(1, 9, 7), Outcome::kOk);
  rig_.executor = *NvmeExecutor::Create(
      {.arena = rig_.arena.get(), .file = rig_.file.get(), .backend = GetParam()});
  EXPECT_EQ(Read(9, 2, 7), Outcome::kCorrupt);
  ASSERT_EQ(Write(1, 10, 7), Outcome::kOk);
  rig_.executor = *NvmeExecutor::Create({.arena = rig_.arena.get(),
                                         .file = rig_.file.get(),
                                         .backend = GetParam(),
                                         .sealer = &sealer_});
  EXPECT_EQ(Read(10, 2, 7), Outcome::kCorrupt);
}

TEST(NvmeExecutor, SaysWhatItUses) {
  Rig threads(NvmeBackend::kThreads);
  EXPECT_FALSE(threads.executor->uses_uring());
  EXPECT_EQ(std::string(threads.executor->detail()), "4 threads with pread and pwrite: asked for");
  Rig any(NvmeBackend::kAuto);
  EXPECT_THAT(std::string(any.executor->detail()),
              HasSubstr(any.executor->uses_uring() ? "host arena" : "io_uring is refused"));
}

TEST(NvmeExecutor, RefusesAnArenaOfAnotherGeometry) {
  Rig rig(NvmeBackend::kThreads);
  Geometry other = rig.geometry;
  other.page_tokens = 64;
  const auto arena = *HostArena::Create({.geometry = other, .frames = 4});
  const auto executor = NvmeExecutor::Create({.arena = arena.get(), .file = rig.file.get()});
  EXPECT_EQ(executor.status().code(), absl::StatusCode::kInvalidArgument);
}

// Writes and reads one frame; for children, which may not use gtest.
int RoundTripInChild(Rig& rig) {
  rig.Put(1, 100, 7);
  KVP_CHILD_CHECK(Perform(*rig.executor, rig.Write(1, 9, 7)).outcome == Outcome::kOk);
  KVP_CHILD_CHECK(Perform(*rig.executor, rig.Read(9, 2, 7)).outcome == Outcome::kOk);
  KVP_CHILD_CHECK(HasFill(rig.arena->payload(FrameIndex{2}), 100));
  return 0;
}

TEST(NvmeExecutor, WorksWithLittleMemlockAndSaysSo) {
  Rig rig(NvmeBackend::kThreads, 1024);  // 12 MiB. The parent removes its files.
  rig.executor.reset();                  // No threads at the fork.
  const int status = testing::RunInChild([&rig] {
    const struct rlimit limit { .rlim_cur = 8 * kMiB, .rlim_max = 8 * kMiB };
    KVP_CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (geteuid() == 0) {  // Root may lock as much as it likes.
      KVP_CHILD_CHECK(setgroups(0, nullptr) == 0);
      KVP_CHILD_CHECK(setresgid(65534, 65534, 65534) == 0);
      KVP_CHILD_CHECK(setresuid(65534, 65534, 65534) == 0);
    }
    rig.executor = *NvmeExecutor::Create({.arena = rig.arena.get(), .file = rig.file.get()});
    const std::string detail(rig.executor->detail());
    std::fprintf(stderr, "%s\n", detail.c_str());
    if (rig.executor->uses_uring()) {
      KVP_CHILD_CHECK(detail.find("host arena not registered") != std::string::npos);
      KVP_CHILD_CHECK(detail.find("memlock allows 8388608") != std::string::npos);
    }
    return RoundTripInChild(rig);
  });
  EXPECT_TRUE(testing::ExitedWell(status)) << status;
}

// From here on io_uring_setup fails with EPERM, as in many containers.
bool ForbidUring() {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(NvmeExecutor, TurnsToThreadsWhereIoUringIsForbidden) {
  const int status = testing::RunInChild([] {
    KVP_CHILD_CHECK(ForbidUring());
    Rig rig(NvmeBackend::kAuto);
    const std::string detail(rig.executor->detail());
    std::fprintf(stderr, "%s\n", detail.c_str());
    KVP_CHILD_CHECK(!rig.executor->uses_uring());
    KVP_CHILD_CHECK(detail.find("io_uring is refused: Operation not permitted") !=
                    std::string::npos);
    return RoundTripInChild(rig);
  });
  EXPECT_TRUE(testing::ExitedWell(status)) << status;
}

TEST(NvmeExecutor, ReportsAWriteThatTheKernelRefusesAsFailedAndKeepsTheSource) {
  for (NvmeBackend backend : {NvmeBackend::kAuto, NvmeBackend::kThreads}) {
    const int status = testing::RunInChild([backend] {
      Rig rig(backend);
      struct rlimit limit {};
      KVP_CHILD_CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
      const rlim_t before = limit.rlim_cur;
      limit.rlim_cur = 64 * kKiB;
      KVP_CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
      rig.Put(1, 100, 7);
      const Completion failed = Perform(*rig.executor, rig.Write(1, 60, 7));
      KVP_CHILD_CHECK(failed.outcome == Outcome::kFailed);
      KVP_CHILD_CHECK(failed.os_error == EFBIG);
      limit.rlim_cur = before;
      KVP_CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
      KVP_CHILD_CHECK(Perform(*rig.executor, rig.Write(1, 60, 7)).outcome == Outcome::kOk);
      return 0;
    });
    EXPECT_TRUE(testing::ExitedWell(status)) << status;
  }
}

}  // namespace
}  // namespace kvpager
