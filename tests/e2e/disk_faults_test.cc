// What an engine and an operator see of a failing disk, with the real daemon, real io_uring and
// O_DIRECT: over a filesystem in user space that fails on demand (faulty_fs.cc), on a loop device
// that runs out of its backing store, and where io_uring is forbidden. Never wrong bytes.
//
// The parts that need a mount skip where this user may not make one.

#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

constexpr uint32_t kBlocks = 8;
constexpr uint64_t kPrompts = 12;

EngineOptions EngineOf(const Daemon& daemon) {
  EngineOptions options;
  options.socket_path = daemon.socket_path();
  return options;
}

// What an operator who looks now is told; empty if all is well.
std::string Warnings(const Daemon& daemon, const TemporaryDirectory& directory) {
  ProcessOptions options;
  options.command = {ProgramPath("kvpagerctl"), "--socket=" + daemon.socket_path(), "status"};
  options.output_path = directory.File("status.txt");
  WriteFileText(options.output_path, "");
  Process ctl(options);
  EXPECT_EQ(ctl.Wait(60), 0) << ctl.Output();
  const std::string text = ctl.Output();
  return text.find("HEALTH_OK") == 0 ? "" : text.substr(0, text.find("daemon "));
}

class FaultyDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string program = ProgramPath("faulty_fs");
    if (access(program.c_str(), X_OK) != 0) GTEST_SKIP() << "built without libfuse3";
    if (access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/fuse cannot be opened";
    for (const char* name : {"backing", "disk"}) {
      std::filesystem::create_directory(directory_.File(name));
    }
    Heal();
    ProcessOptions options;
    options.command = {program, directory_.File("backing"), directory_.File("disk"),
                       directory_.File("fault")};
    options.output_path = directory_.File("faulty_fs.log");
    disk_ = std::make_unique<Process>(options);
    for (int waited = 0; !Mounted(); ++waited) {
      if (disk_->EndsWithin(20) || waited > 500) {
        GTEST_SKIP() << "cannot mount: " << disk_->Output();
      }
    }
    StartDaemon();
  }

  void TearDown() override {
    engine_.Close();
    daemon_.reset();
    if (disk_ == nullptr) return;
    if (Mounted()) umount2(directory_.File("disk").c_str(), MNT_DETACH);
    disk_->Signal(SIGTERM);
    disk_->Wait(30);
  }

  bool Mounted() const {
    struct stat inside {};
    struct stat outside {};
    return stat(directory_.File("disk").c_str(), &inside) == 0 &&
           stat(directory_.path().c_str(), &outside) == 0 && inside.st_dev != outside.st_dev;
  }

  // Renamed into place: a request in between sees the old one or the new one.
  void Spoil(const std::string& fault) {
    WriteFileText(directory_.File("fault.new"), fault + "\n");
    std::filesystem::rename(directory_.File("fault.new"), directory_.File("fault"));
  }
  void Heal() { Spoil(""); }

  void StartDaemon() {
    DaemonOptions options;
    options.nvme_path = directory_.File("disk");
    daemon_ = std::make_unique<Daemon>(directory_, options);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
    ASSERT_EQ(engine_.Open(EngineOf(*daemon_)), KVP_OK) << engine_.error() << daemon_->Log();
    if (engine_.client() == nullptr) return;
    const Facts tiers = RunCtl(*daemon_, directory_, {"status"});
    ASSERT_NE(tiers.Text("/tiers/2/detail").find("direct I/O"), std::string::npos)
        << tiers.Text("/tiers/2/detail");
  }

  // Prompts that are on NVMe and nowhere else.
  void FillNvme() {
    for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
      ASSERT_EQ(engine_.ServeAndEvict(prompt, kBlocks).status, KVP_OK) << engine_.error();
    }
  }

  // Serves a prompt, again if a part of it was lost meanwhile. Never wrong. Returns the blocks
  // that were reused at last.
  uint32_t ServeAnyway(uint64_t prompt, uint32_t flags = 0) {
    for (int attempt = 0; attempt < 2 * static_cast<int>(kBlocks); ++attempt) {
      const Served served = engine_.Serve(prompt, kBlocks, flags);
      EXPECT_EQ(served.mismatched_blocks, 0u) << "prompt " << prompt;
      if (served.status == KVP_OK) return served.reused_blocks;
      EXPECT_EQ(served.status, KVP_DATA_LOSS) << engine_.error();
      ++losses_;
    }
    ADD_FAILURE() << "prompt " << prompt << " is lost again and again";
    return 0;
  }

  Facts Status() { return RunCtl(*daemon_, directory_, {"status"}); }

  TemporaryDirectory directory_;
  std::unique_ptr<Process> disk_;
  std::unique_ptr<Daemon> daemon_;
  TestEngine engine_;
  uint32_t losses_ = 0;
};

TEST_F(FaultyDisk, AReadThatFailsIsALossThatTheEngineIsToldOfAndTheFrameIsRetired) {
  FillNvme();
  Spoil("read 5 1");
  ServeAnyway(1);
  EXPECT_EQ(losses_, 1u) << "the engine is told once";
  EXPECT_EQ(ServeAnyway(2), kBlocks) << "the others are there";
  const Facts status = Status();
  EXPECT_EQ(status.Counter("nvme_failed"), 1u);
  EXPECT_EQ(status.Counter("retired_frames"), 1u);
  EXPECT_EQ(status.Counter("nvme_out_of_service"), 0u);
  EXPECT_NE(Warnings(*daemon_, directory_).find("NVME_FAILED"), std::string::npos);
  EXPECT_NE(daemon_->Log().find("Input/output error"), std::string::npos) << daemon_->Log();
}

TEST_F(FaultyDisk, AShortReadIsAFailure) {
  FillNvme();
  Spoil("read short 1");
  ServeAnyway(1);
  EXPECT_EQ(losses_, 1u);
  EXPECT_EQ(Status().Counter("nvme_failed"), 1u);
}

TEST_F(FaultyDisk, AFlippedBitIsALossAndNeverServed) {
  FillNvme();
  Spoil("read flip 3");
  for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) ServeAnyway(prompt);
  EXPECT_GE(losses_, 1u);
  const Facts status = Status();
  EXPECT_EQ(status.Counter("nvme_corrupt"), 3u);
  EXPECT_EQ(status.Counter("retired_frames"), 0u);
  EXPECT_NE(Warnings(*daemon_, directory_).find("NVME_CORRUPT"), std::string::npos);
}

TEST_F(FaultyDisk, ATornWriteIsALossAndNeverServed) {
  Spoil("write torn 4");
  FillNvme();
  Heal();
  for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) ServeAnyway(prompt);
  EXPECT_GE(losses_, 1u);
  EXPECT_EQ(Status().Counter("nvme_corrupt"), 4u);
}

TEST_F(FaultyDisk, ASlowDiskIsWaitedFor) {
  FillNvme();
  Spoil("read slow 1");
  EXPECT_EQ(ServeAnyway(1), kBlocks);
  Spoil("write slow 1");
  EXPECT_EQ(engine_.Serve(100, kBlocks, KVP_NAME_DURABLE).status, KVP_OK) << engine_.error();
  EXPECT_EQ(losses_, 0u);
  EXPECT_EQ(Warnings(*daemon_, directory_), "");
}

TEST_F(FaultyDisk, AFullDiskKeepsNothingDurableAndNothingIsLost) {
  FillNvme();
  Spoil(absl::StrCat("write ", ENOSPC));
  const Served refused = engine_.Serve(100, kBlocks, KVP_NAME_DURABLE);
  EXPECT_EQ(refused.status, KVP_UNAVAILABLE) << engine_.error();
  EXPECT_EQ(refused.mismatched_blocks, 0u);
  for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
    EXPECT_EQ(ServeAnyway(prompt), kBlocks) << "reads go on";
  }
  EXPECT_EQ(Status().Counter("nvme_out_of_service"), 0u) << "a full disk is not a bad one";
  Heal();
  EXPECT_EQ(engine_.Serve(101, kBlocks, KVP_NAME_DURABLE).status, KVP_OK) << engine_.error();
  EXPECT_EQ(losses_, 0u);
}

TEST_F(FaultyDisk, ADiskThatDisappearsIsTakenOutOfServiceAndTheRestGoesOn) {
  ASSERT_EQ(engine_.Serve(50, kBlocks, KVP_NAME_DURABLE).status, KVP_OK) << engine_.error();
  FillNvme();
  Spoil("gone");
  for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
    ServeAnyway(prompt);
    if (Status().Counter("nvme_out_of_service") == 1) break;
  }
  EXPECT_GE(losses_, 1u) << "the engine was told";
  const Facts status = Status();
  EXPECT_EQ(status.Counter("nvme_out_of_service"), 1u);
  EXPECT_EQ(status.Text("/tiers/2/in_service"), "false");
  EXPECT_NE(Warnings(*daemon_, directory_).find("NVME_OUT_OF_SERVICE"), std::string::npos);
  EXPECT_NE(daemon_->Log().find("the nvme tier is out of service"), std::string::npos);
  // HBM and host memory serve on, also more than fits them.
  for (uint64_t prompt = 200; prompt < 240; ++prompt) {
    EXPECT_EQ(engine_.Serve(prompt, kBlocks, 0).status, KVP_OK) << engine_.error();
    EXPECT_EQ(ServeAnyway(prompt), kBlocks);
  }
  EXPECT_EQ(engine_.Serve(300, kBlocks, KVP_NAME_DURABLE).status, KVP_UNAVAILABLE);
  EXPECT_NE(engine_.error().find("out of service"), std::string::npos) << engine_.error();
  engine_.Close();
  EXPECT_EQ(daemon_->Stop(), 1) << "that was no clean stop";
  // It was the cable.
  Heal();
  StartDaemon();
  EXPECT_EQ(ServeAnyway(50), kBlocks) << "it was durable";
}

TEST(DiskFaults, WhereIoUringIsForbiddenThreadsTakeOver) {
  const TemporaryDirectory directory;
  DaemonOptions options;
  options.forbid_uring = true;
  Daemon daemon(directory, options);
  ASSERT_TRUE(daemon.WaitUntilReady()) << daemon.Log();
  TestEngine engine;
  ASSERT_EQ(engine.Open(EngineOf(daemon)), KVP_OK) << engine.error();
  for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
    ASSERT_EQ(engine.ServeAndEvict(prompt, kBlocks).status, KVP_OK) << engine.error();
  }
  for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
    const Served served = engine.Serve(prompt, kBlocks, 0);
    EXPECT_EQ(served.reused_blocks, kBlocks);
    EXPECT_EQ(served.mismatched_blocks, 0u);
  }
  const std::string detail = RunCtl(daemon, directory, {"status"}).Text("/tiers/2/detail");
  EXPECT_NE(detail.find("threads with pread and pwrite: io_uring is refused: Operation not"),
            std::string::npos)
      << detail;
  EXPECT_NE(daemon.Log().find("io_uring is refused"), std::string::npos);
  engine.Close();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.Log();
}

// A loop device over a sparse file on a tmpfs that is smaller than the file: writes fail in the
// middle, as on a thin volume that has run out.
class ThinVolume : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = directory_.path();
    const std::string script = absl::StrCat(
        "set -e; cd ", path, "; mkdir -p store disk; mount -t tmpfs -o size=20m tmpfs store; ",
        "truncate -s 96m store/sparse; losetup -f --show store/sparse > loop; ",
        "mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=1 $(cat loop); mount $(cat loop) disk");
    made_ = std::system(absl::StrCat("(", script, ") > ", path, "/setup.log 2>&1").c_str()) == 0;
    if (!made_) {
      GTEST_SKIP() << "cannot mount a loop device: " << ReadFileText(path + "/setup.log");
    }
  }
  void TearDown() override {
    const std::string script =
        absl::StrCat("cd ", directory_.path(), "; umount -l disk; losetup -d $(cat loop);",
                     "umount -l store; cd /; true");
    EXPECT_EQ(std::system(absl::StrCat("(", script, ") > /dev/null 2>&1").c_str()), 0);
  }

  TemporaryDirectory directory_;
  bool made_ = false;
};

TEST_F(ThinVolume, ThatRunsOutFailsWritesAndServesNothingWrong) {
  DaemonOptions options;
  options.nvme_path = directory_.File("disk");
  options.blocks_nvme = 3000;  // 60 MB in a store of 20.
  Daemon daemon(directory_, options);
  ASSERT_TRUE(daemon.WaitUntilReady()) << daemon.Log();
  TestEngine engine;
  ASSERT_EQ(engine.Open(EngineOf(daemon)), KVP_OK) << engine.error();
  bool out = false;
  for (uint64_t prompt = 1; prompt <= 400 && !out; ++prompt) {
    const Served served = engine.Serve(prompt, kBlocks, 0);
    EXPECT_EQ(served.mismatched_blocks, 0u);
    if (prompt % 20 == 0) {
      out = RunCtl(daemon, directory_, {"status"}).Counter("nvme_out_of_service") == 1;
    }
  }
  EXPECT_GE(RunCtl(daemon, directory_, {"status"}).Counter("nvme_failed"), 1u);
  EXPECT_NE(Warnings(daemon, directory_).find("NVME_FAILED"), std::string::npos);
  for (uint64_t prompt = 1; prompt <= 40; ++prompt) {
    EXPECT_EQ(engine.Serve(prompt, kBlocks, 0).mismatched_blocks, 0u);
  }
  engine.Close();
  daemon.Kill();
}

}  // namespace
}  // namespace kvpager::e2e
