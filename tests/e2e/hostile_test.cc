// That a peer which does not keep to the protocol is stopped with a reason, and that an engine
// beside it, which verifies its bytes all the time, notices nothing.

#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "ipc/attach.h"
#include "ipc/deadline.h"
#include "ipc/fd_channel.h"
#include "ipc/wire.h"
#include "ipc/zmq_client.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

constexpr uid_t kNobody = 65534;
constexpr uid_t kStranger = 65533;
constexpr uint32_t kPrompts = 8;  // As mortal_engine.cc.
constexpr uint32_t kPromptBlocks = 4;
constexpr uint64_t kLongUs = 60'000'000;

class Hostile : public ::testing::Test {
 protected:
  void Start(const TemporaryDirectory& directory, const DaemonOptions& options) {
    daemon_ = std::make_unique<Daemon>(directory, options);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
    TestEngine engine;
    EngineOptions engine_options;
    engine_options.socket_path = daemon_->socket_path();
    ASSERT_EQ(engine.Open(engine_options), KVP_OK) << engine.error();
    for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
      ASSERT_EQ(engine.Serve(prompt, kPromptBlocks, KVP_NAME_DURABLE).status, KVP_OK);
    }
  }

  // The program of mortal_engine.cc; `place` empty: as built, as this user.
  std::unique_ptr<Process> Launch(const std::string& mode, const std::string& path = "",
                                  std::optional<uid_t> uid = std::nullopt) {
    ProcessOptions options;
    options.command = {path.empty() ? ProgramPath("mortal_engine") : path, daemon_->socket_path(),
                       mode, "1001"};
    options.output_path = directory_.File(mode + ".out");
    options.uid = uid;
    WriteFileText(options.output_path, "");
    std::filesystem::permissions(options.output_path, std::filesystem::perms(0666));
    return std::make_unique<Process>(std::move(options));
  }

  static bool Reaches(Process& process) {
    while (process.running()) {
      if (process.Output().find("at\n") != std::string::npos) return true;
      process.EndsWithin(10);
    }
    return false;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(Hostile, AClientThatNeverReadsIsCutOffAndOthersNoticeNothing) {
  Start(directory_, DaemonOptions{});
  ASSERT_FALSE(HasFatalFailure());
  const std::unique_ptr<Process> witness = Launch("witness");
  ASSERT_TRUE(Reaches(*witness)) << witness->Output();
  AttachRequest request;
  request.pool = "e2e";
  request.model = "test-model-1";
  request.engine_name = "deaf";
  request.geometry = {.page_tokens = 16,
                      .num_layers = 2,
                      .layers_per_page = 2,
                      .num_kv_heads = 2,
                      .head_dim_k = 64,
                      .head_dim_v = 64};
  absl::StatusOr<AttachClient> attach =
      AttachClient::Attach(daemon_->socket_path(), request, kLongUs);
  ASSERT_TRUE(attach.ok()) << attach.status();
  auto zmq = ZmqClient::Connect({.endpoint = attach->reply().endpoint});
  ASSERT_TRUE(zmq.ok()) << zmq.status();
  flatbuffers::FlatBufferBuilder builder;
  MessageBytes bytes;
  const Deadline deadline = Deadline::AfterUs(kLongUs);
  for (uint64_t number = 1; !attach->HungUp() && !deadline.passed(); ++number) {
    builder.Clear();
    ASSERT_TRUE(EncodeMessage<wire::ResumeRequest>(number, attach->reply().session, builder,
                                                   wire::CreateResumeRequest(builder, 77), bytes)
                    .ok());
    ASSERT_TRUE((*zmq)->Send(bytes, Deadline::AfterUs(kLongUs)).ok());
  }
  EXPECT_TRUE(attach->HungUp());
  EXPECT_NE(daemon_->Log().find("it does not read its answers"), std::string::npos)
      << daemon_->Log();
  EXPECT_EQ(RunCtl(*daemon_, directory_, {"status"}).Counter("engines_cut_off"), 1u);
  witness->Signal(SIGTERM);
  EXPECT_EQ(witness->Wait(60), 0) << witness->Output();
}

TEST_F(Hostile, OfOtherUsersTheGroupMayAttachAndNobodyElse) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const TemporaryDirectory place(Place::kSystem);
  const std::string program = place.File("mortal_engine");
  std::filesystem::copy_file(ProgramPath("mortal_engine"), program);
  DaemonOptions options;
  options.socket_path = place.File("kvpager.sock");
  {
    Start(directory_, options);
    ASSERT_FALSE(HasFatalFailure());
    const std::unique_ptr<Process> process = Launch("named", program, kNobody);
    EXPECT_EQ(process->Wait(60), 3) << process->Output();
    EXPECT_NE(process->Output().find("ermission"), std::string::npos) << process->Output();
    EXPECT_EQ(daemon_->Stop(), 0);
  }
  options.flags = {"--listen.mode=0660", "--listen.group=nogroup"};
  Start(directory_, options);
  ASSERT_FALSE(HasFatalFailure()) << daemon_->Log();
  const std::unique_ptr<Process> stranger = Launch("ready", program, kStranger);
  EXPECT_EQ(stranger->Wait(60), 3) << stranger->Output();
  const std::unique_ptr<Process> member = Launch("named", program, kNobody);
  EXPECT_TRUE(Reaches(*member)) << member->Output();
  const Facts clients = RunCtl(*daemon_, directory_, {"clients"});
  EXPECT_EQ(clients.Number("/clients/0/uid"), kNobody);
  EXPECT_EQ(RunCtl(*daemon_, directory_, {"status"}).Counter("attaches_refused"), 0u)
      << "who has no permission does not even reach the daemon";
}

}  // namespace
}  // namespace kvpager::e2e
