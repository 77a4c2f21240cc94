// That bad input gets a clear sentence and a non-zero exit, and harms nobody else: one test each.

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "gtest/gtest.h"
#include "ipc/attach.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

constexpr uid_t kNobody = 65534;

// Every word occurs, whatever its case.
void ExpectWords(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    EXPECT_NE(absl::AsciiStrToLower(text).find(absl::AsciiStrToLower(word)), std::string::npos)
        << "\"" << word << "\" is missing in:\n"
        << text;
  }
}

void ExpectRefusal(Daemon& daemon, const std::vector<std::string>& words) {
  EXPECT_FALSE(daemon.WaitUntilReady());
  const int status = daemon.process().Wait(60);
  EXPECT_GT(status, 0) << daemon.Log();
  EXPECT_LT(status, 126) << "it did not refuse, it died\n" << daemon.Log();
  ExpectWords(daemon.Log(), words);
}

// Serves two prompts: the daemon behind `socket_path` is well.
void ExpectWell(const std::string& socket_path) {
  TestEngine engine;
  EngineOptions options;
  options.socket_path = socket_path;
  ASSERT_EQ(engine.Open(options), KVP_OK) << engine.error();
  for (const uint64_t prompt : {101u, 102u}) {
    const Served served = engine.Serve(prompt, 4, 0);
    EXPECT_EQ(served.status, KVP_OK) << engine.error();
    EXPECT_EQ(served.mismatched_blocks, 0u);
  }
}

class BadInput : public ::testing::Test {
 protected:
  void StartWell(const DaemonOptions& options = {}) {
    daemon_ = std::make_unique<Daemon>(directory_, options);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(BadInput, AnUnknownKeyIsNamedWithItsLineAndTheLikelyOne) {
  const std::string path = directory_.File("bad.toml");
  WriteFileText(path, "[hbm]\nsise = \"64MiB\"\n");
  ProcessOptions process;
  process.command = {ProgramPath("kvpagerd"), "--config=" + path};
  process.output_path = directory_.File("out");
  Process daemon(process);
  EXPECT_EQ(daemon.Wait(60), 2) << daemon.Output();
  ExpectWords(daemon.Output(), {"bad.toml:2", "hbm.sise", "did you mean", "hbm.size"});
}

TEST_F(BadInput, AnUnknownOptionIsNamed) {
  DaemonOptions options;
  options.flags = {"--nvme.block=12"};
  Daemon daemon(directory_, options);
  ExpectRefusal(daemon, {"--nvme.block", "did you mean", "nvme.blocks"});
}

TEST_F(BadInput, ImpossibleSizesSayWhatToChange) {
  DaemonOptions options;
  options.blocks_hbm = 0;
  options.flags = {"--hbm.size=900%"};
  Daemon daemon(directory_, options);
  ExpectRefusal(daemon, {"hbm.size", "900%"});
}

TEST_F(BadInput, MoreHostMemoryThanThereIsSaysWhatToChange) {
  DaemonOptions options;
  options.blocks_host = 0;
  options.flags = {"--host.size=900TiB"};
  Daemon daemon(directory_, options);
  ExpectRefusal(daemon, {"host.size"});
}

TEST_F(BadInput, AGarbageLineOfATraceIsNamedWithItsNumber) {
  StartWell();
  const std::string path = WriteTrace(directory_, "trace.jsonl", {.sessions = 2, .turns = 2});
  WriteFileText(path, ReadFileText(path) + "this is not JSON\n");
  const ReplayOptions options = {daemon_->socket_path(), path, "replay", {}, "", std::nullopt};
  const ReplayResult result = RunReplay(directory_, options);
  EXPECT_GT(result.exit_status, 0);
  EXPECT_LT(result.exit_status, 126);
  ExpectWords(result.output, {"trace.jsonl:5", "not JSON", "--skip-bad-lines"});
  ReplayOptions skipping = options;
  skipping.flags = {"--skip-bad-lines"};
  EXPECT_EQ(RunReplay(directory_, skipping).exit_status, 0);  // And the daemon is well.
}

TEST_F(BadInput, AGeometryWhoseStridesDoNotFitIsRefused) {
  StartWell();
  TestEngine engine;
  EngineOptions options;
  options.socket_path = daemon_->socket_path();
  options.pool = "huge";
  options.num_kv_heads = 1024;
  options.head_dim = 1024;
  options.page_tokens = 4096;
  EXPECT_EQ(engine.Open(options), KVP_INVALID_ARGUMENT);
  ExpectWords(engine.error(), {"geometry", "bytes", "lower page_tokens"});
  ExpectWell(daemon_->socket_path());
}

TEST_F(BadInput, AnAttachThatDoesNotMatchItsPoolNamesTheField) {
  StartWell();
  TestEngine first;
  EngineOptions options;
  options.socket_path = daemon_->socket_path();
  ASSERT_EQ(first.Open(options), KVP_OK) << first.error();
  TestEngine second;
  options.head_dim = 128;
  EXPECT_EQ(second.Open(options), KVP_FAILED_PRECONDITION);
  ExpectWords(second.error(), {"head_dim_k"});
  options.head_dim = 64;
  options.model = "another-model";
  EXPECT_EQ(second.Open(options), KVP_FAILED_PRECONDITION);
  ExpectWords(second.error(), {"model"});
  EXPECT_EQ(first.Serve(1, 4, 0).status, KVP_OK) << first.error();
}

// Says hello in the words of another major version and returns the answer.
absl::StatusOr<AttachReply> AttachAs(const std::string& socket_path, uint16_t version_major) {
  AttachRequest request;
  request.version_major = version_major;
  request.admin = true;
  MessageBytes message;
  if (absl::Status status = EncodeAttachRequest(request, message); !status.ok()) return status;
  std::memcpy(message.data() + 4, &version_major, sizeof(version_major));  // ipc/wire.h, offset 4.
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  MessageBytes answer(kAttachBytesMax);
  ssize_t size = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (size == 0) size = send(fd, message.data(), message.size(), MSG_NOSIGNAL);
  if (size > 0) size = recv(fd, answer.data(), answer.size(), 0);
  close(fd);
  if (size <= 0) return absl::UnavailableError("no answer");
  answer.resize(static_cast<size_t>(size));
  return DecodeAttachReply(answer);
}

TEST_F(BadInput, AClientOfAnotherProtocolVersionIsToldWhichOnesThereAre) {
  StartWell();
  const absl::StatusOr<AttachReply> reply = AttachAs(daemon_->socket_path(), kWireMajor + 1);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status.code(), absl::StatusCode::kUnimplemented);
  ExpectWords(std::string(reply->status.message()), {"version 2", kWireVersionsSupported});
  const absl::StatusOr<AttachReply> same = AttachAs(daemon_->socket_path(), kWireMajor);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_TRUE(same->status.ok()) << same->status;
  ExpectWell(daemon_->socket_path());
}

TEST_F(BadInput, ASecondDaemonOnTheSameFilesIsRefusedAndTheFirstGoesOn) {
  StartWell();
  ExpectWell(daemon_->socket_path());
  DaemonOptions options;
  options.socket_path = directory_.File("other.sock");
  Daemon second(directory_, options);
  EXPECT_FALSE(second.WaitUntilReady());
  EXPECT_GT(second.process().Wait(60), 0);
  ExpectWords(second.Log(), {"another", directory_.File("nvme")});
  ExpectWell(daemon_->socket_path());
}

TEST_F(BadInput, ASecondDaemonOnTheSameSocketIsRefusedAndTheFirstGoesOn) {
  StartWell();
  DaemonOptions options;
  options.nvme_path = directory_.File("other-nvme");
  options.socket_path = daemon_->socket_path();
  Daemon second(directory_, options);
  EXPECT_GT(second.process().Wait(60), 0);
  ExpectWords(second.Log(), {"another", daemon_->socket_path()});
  ExpectWell(daemon_->socket_path());
}

TEST_F(BadInput, AUserWithoutPermissionOnTheSocketIsToldSo) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const TemporaryDirectory place(Place::kSystem);
  std::filesystem::copy_file(ProgramPath("kvpager-replay"), place.File("kvpager-replay"));
  Daemon daemon(place, DaemonOptions{});
  ASSERT_TRUE(daemon.WaitUntilReady()) << daemon.Log();
  const std::string trace = WriteTrace(place, "trace.jsonl", {.sessions = 1, .turns = 1});
  ReplayOptions options = {daemon.socket_path(),         trace,  "replay", {},
                           place.File("kvpager-replay"), kNobody};
  const ReplayResult result = RunReplay(place, options);
  EXPECT_GT(result.exit_status, 0);
  EXPECT_LT(result.exit_status, 126) << result.output;
  ExpectWords(result.output, {"permission", daemon.socket_path()});
  ExpectWell(daemon.socket_path());
}

TEST_F(BadInput, AFileThatMayNotGrowThatFarIsRefusedAtStartOrAttachAndRemoved) {
  DaemonOptions options;
  options.file_size_bytes_max = 8 << 20;
  options.blocks_nvme = 20'000;
  daemon_ = std::make_unique<Daemon>(directory_, options);
  if (daemon_->WaitUntilReady()) {
    TestEngine engine;
    EngineOptions engine_options;
    engine_options.socket_path = daemon_->socket_path();
    EXPECT_EQ(engine.Open(engine_options), KVP_RESOURCE_EXHAUSTED);
    ExpectWords(engine.error(), {"nvme"});
    EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
  } else {
    EXPECT_GT(daemon_->process().Wait(60), 0);
    ExpectWords(daemon_->Log(), {"nvme"});
  }
  EXPECT_FALSE(std::filesystem::exists(directory_.File("nvme/pages.kvp")));
}

TEST_F(BadInput, AFullDiskIsRefusedWithBothSizes) {
  const std::string disk = directory_.File("disk");
  ASSERT_EQ(mkdir(disk.c_str(), 0755), 0);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=32m") != 0) {
    GTEST_SKIP() << "this user cannot mount a small filesystem";
  }
  DaemonOptions options;
  options.nvme_path = disk + "/nvme";
  options.blocks_nvme = 20'000;
  daemon_ = std::make_unique<Daemon>(directory_, options);
  std::string said;
  if (daemon_->WaitUntilReady()) {
    TestEngine engine;
    EngineOptions engine_options;
    engine_options.socket_path = daemon_->socket_path();
    EXPECT_EQ(engine.Open(engine_options), KVP_RESOURCE_EXHAUSTED);
    said = engine.error();
    EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
  } else {
    EXPECT_GT(daemon_->process().Wait(60), 0);
    said = daemon_->Log();
  }
  ExpectWords(said, {disk + "/nvme", "needs", "free", "make room"});
  EXPECT_FALSE(std::filesystem::exists(disk + "/nvme/pages.kvp"));
  EXPECT_EQ(umount2(disk.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace kvpager::e2e
