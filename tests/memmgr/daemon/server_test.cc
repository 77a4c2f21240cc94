// That the daemon keeps its clients apart: who sends nonsense is answered, then cut off, and others
// notice nothing; who has no session gets nothing; nobody gets more than his share.
//
// How: a real Daemon without NVMe on a thread of its own, and raw sockets as its clients, so that a
// test may send what libkvpager never would. Waits are for answers, with a deadline that only a
// failure reaches.

#include <signal.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/attach.h"
#include "ipc/fd_channel.h"
#include "ipc/wire.h"
#include "ipc/zmq_client.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/daemon.h"
#include "memmgr/daemon/log.h"

namespace kvpager {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kPatienceUs = 30'000'000;

AttachRequest EngineRequest() {
  AttachRequest request;
  request.pool = "test";
  request.model = "model";
  request.engine_name = "server_test";
  request.geometry = {.page_tokens = 16,
                      .num_layers = 2,
                      .layers_per_page = 2,
                      .num_kv_heads = 1,
                      .head_dim_k = 64,
                      .head_dim_v = 64};
  return request;
}

// What came back: a status, and the message it was in.
struct Heard {
  absl::Status status = absl::DeadlineExceededError("nothing was heard");
  uint64_t request = 0;
  uint64_t sequence = 0;
};

class Client {
 public:
  static absl::StatusOr<std::unique_ptr<Client>> Attach(const std::string& path,
                                                        const AttachRequest& request) {
    absl::StatusOr<AttachClient> attach = AttachClient::Attach(path, request, kPatienceUs);
    if (!attach.ok()) return attach.status();
    auto zmq = ZmqClient::Connect({.endpoint = attach->reply().endpoint});
    if (!zmq.ok()) return zmq.status();
    return std::unique_ptr<Client>(new Client(*std::move(attach), *std::move(zmq)));
  }

  void SendBytes(const MessageBytes& bytes) {
    const absl::Status sent = zmq_->Send(bytes, Deadline::AfterUs(kPatienceUs));
    EXPECT_TRUE(sent.ok()) << sent;
  }

  template <typename Table>
  uint64_t Send(flatbuffers::FlatBufferBuilder& builder, flatbuffers::Offset<Table> request) {
    EXPECT_TRUE(EncodeMessage<Table>(++request_, session(), builder, request, bytes_).ok());
    builder.Clear();
    SendBytes(bytes_);
    return request_;
  }

  Heard Hear() {
    Heard heard;
    const absl::Status received = zmq_->Receive(Deadline::AfterUs(kPatienceUs), bytes_);
    if (!received.ok()) {
      heard.status = received;
      return heard;
    }
    const absl::StatusOr<MessageView> view = DecodeMessage(bytes_);
    if (!view.ok()) {
      heard.status = view.status();
      return heard;
    }
    heard.request = view->header().request;
    heard.status = absl::OkStatus();
    if (view->type() == MessageType::kAnswer) {
      const auto& body = view->body<wire::Answer>();
      heard.status = StatusOf(body.status(), StringOf(body.reason()));
      heard.sequence = body.sequence();
    }
    return heard;
  }

  uint64_t OpenSequence() {
    flatbuffers::FlatBufferBuilder builder;
    Send(builder, wire::CreateOpenRequest(builder));
    const Heard heard = Hear();
    EXPECT_TRUE(heard.status.ok()) << heard.status;
    return heard.sequence;
  }

  uint64_t BeginStep(uint64_t sequence, uint32_t tokens, uint64_t number) {
    flatbuffers::FlatBufferBuilder builder;
    const wire::Ticket ticket(0, number);
    const std::vector<wire::StepEntry> entries = {
        wire::StepEntry(sequence, tokens, false, 0, ~0u, 0, ~0u, ~uint64_t{0})};
    return Send(builder, wire::CreateStepBeginRequest(builder, &ticket, 0,
                                                      builder.CreateVectorOfStructs(entries)));
  }

  absl::Status EndStep(uint64_t number) {
    flatbuffers::FlatBufferBuilder builder;
    const wire::Ticket ticket(0, number);
    Send(builder, wire::CreateStepEndRequest(builder, &ticket));
    return Hear().status;
  }

  // What it sent last, once more.
  void Replay(const MessageBytes& bytes) { SendBytes(bytes); }
  const MessageBytes& last_bytes() const { return bytes_; }

  // As an administrator.
  absl::Status Revoke(uint32_t client, uint32_t pid) {
    flatbuffers::FlatBufferBuilder builder;
    Send(builder, wire::CreateRevokeRequest(builder, client, pid));
    return Hear().status;
  }
  // As an administrator: engine 0 in words, and frames that are kept because of it.
  std::pair<std::string, uint64_t> StateOfFirst() {
    flatbuffers::FlatBufferBuilder builder;
    Send(builder, wire::CreateClientsRequest(builder));
    if (!zmq_->Receive(Deadline::AfterUs(kPatienceUs), bytes_).ok()) return {"no answer", 0};
    const absl::StatusOr<MessageView> view = DecodeMessage(bytes_);
    if (!view.ok() || view->type() != MessageType::kClientsReply) return {"no answer", 0};
    const auto* clients = view->body<wire::ClientsReply>().clients();
    if (CountOf(clients) == 0) return {"none", 0};
    return {std::string(StringOf(clients->Get(0)->state())), clients->Get(0)->frames_quarantined()};
  }

  // A message whose header is right and whose body is not.
  MessageBytes Malformed() {
    flatbuffers::FlatBufferBuilder builder;
    EXPECT_TRUE(EncodeMessage<wire::OpenRequest>(++request_, session(), builder,
                                                 wire::CreateOpenRequest(builder), bytes_)
                    .ok());
    MessageBytes bytes = bytes_;
    for (size_t i = kWireHeaderBytes; i < bytes.size(); ++i) bytes[i] = 0xff;
    return bytes;
  }

  bool HungUp() const { return attach_.HungUp(); }
  SessionToken session() const { return attach_.reply().session; }
  const AttachReply& reply() const { return attach_.reply(); }

 private:
  Client(AttachClient attach, std::unique_ptr<ZmqClient> zmq)
      : attach_(std::move(attach)), zmq_(std::move(zmq)) {}

  AttachClient attach_;
  std::unique_ptr<ZmqClient> zmq_;
  uint64_t request_ = 0;
  MessageBytes bytes_;
};

class ServerTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (thread_.joinable()) {
      kill(getpid(), SIGTERM);  // Blocked everywhere: the loop reads it from its descriptor.
      thread_.join();
      EXPECT_TRUE(stopped_.ok()) << stopped_;
    }
    daemon_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  void Start(const std::vector<std::string>& flags = {}) {
    BlockSignals();
    StartLog("off", false);
    char name[] = "/tmp/kvpager_server_XXXXXX";
    directory_ = mkdtemp(name);
    path_ = directory_ + "/kvpager.sock";
    std::vector<std::string> arguments = {"--config=", "--listen.socket=" + path_, "--hbm.blocks=8",
                                          "--host.blocks=16"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const auto command_line = ParseCommandLine(arguments);
    ASSERT_TRUE(command_line.ok()) << command_line.status();
    const auto raw = LoadRawConfig(*command_line, {});
    ASSERT_TRUE(raw.ok()) << raw.status();
    const auto config = ResolveConfig(*raw, DetectMachine({}, *raw));
    ASSERT_TRUE(config.ok()) << config.status();
    auto daemon = Daemon::Create(*config);
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    thread_ = std::thread([this] { stopped_ = daemon_->Run(); });
  }

  std::unique_ptr<Client> AttachEngine() {
    auto client = Client::Attach(path_, EngineRequest());
    EXPECT_TRUE(client.ok()) << client.status();
    return client.ok() ? *std::move(client) : nullptr;
  }

  std::unique_ptr<Client> AttachAdmin() {
    AttachRequest request;
    request.admin = true;
    auto client = Client::Attach(path_, request);
    EXPECT_TRUE(client.ok()) << client.status();
    return client.ok() ? *std::move(client) : nullptr;
  }

  absl::Status RefusalOf(const AttachRequest& request) {
    return Client::Attach(path_, request).status();
  }

  // Attaches as soon as somebody has left.
  std::unique_ptr<Client> AttachWhenThereIsRoom() {
    const Deadline deadline = Deadline::AfterUs(kPatienceUs);
    while (!deadline.passed()) {
      auto client = Client::Attach(path_, EngineRequest());
      if (client.ok()) return *std::move(client);
      EXPECT_TRUE(absl::IsResourceExhausted(client.status())) << client.status();
    }
    ADD_FAILURE() << "nobody left";
    return nullptr;
  }

  std::string directory_;
  std::string path_;
  std::unique_ptr<Daemon> daemon_;
  std::thread thread_;
  absl::Status stopped_;
};

TEST_F(ServerTest, HandsOutRegionsThatFitThePool) {
  Start();
  const auto client = AttachEngine();
  ASSERT_NE(client, nullptr);
  EXPECT_EQ(client->reply().pool.frames_hbm, 8u);
  EXPECT_EQ(client->reply().pool.frames_host, 16u);
  EXPECT_EQ(client->reply().pool.blocks_nvme, 0u);
  ASSERT_EQ(client->reply().regions.size(), 4u);
  EXPECT_EQ(client->reply().regions[1].bytes, 8 * client->reply().pool.frame_bytes_hbm);
}

TEST_F(ServerTest, AMessageWithoutASessionIsRefused) {
  Start();
  const auto client = AttachEngine();
  ASSERT_NE(client, nullptr);
  flatbuffers::FlatBufferBuilder builder;
  MessageBytes bytes;
  SessionToken guess = client->session();
  guess.words[1] ^= 1;
  ASSERT_TRUE(
      EncodeMessage<wire::OpenRequest>(5, guess, builder, wire::CreateOpenRequest(builder), bytes)
          .ok());
  client->SendBytes(bytes);
  const Heard heard = client->Hear();
  EXPECT_TRUE(absl::IsPermissionDenied(heard.status)) << heard.status;
  EXPECT_EQ(heard.request, 5u);
  EXPECT_NE(client->OpenSequence(), 0u);
}

TEST_F(ServerTest, ThreeMalformedMessagesCutAClientOffAndOthersNoticeNothing) {
  Start();
  const auto good = AttachEngine();
  const auto bad = AttachEngine();
  ASSERT_NE(good, nullptr);
  ASSERT_NE(bad, nullptr);
  const uint64_t sequence = good->OpenSequence();
  EXPECT_NE(bad->OpenSequence(), 0u);
  for (int strike = 0; strike < 3; ++strike) {
    EXPECT_FALSE(bad->HungUp()) << strike;
    bad->SendBytes(bad->Malformed());
    EXPECT_TRUE(absl::IsInvalidArgument(bad->Hear().status));
  }
  const Deadline deadline = Deadline::AfterUs(kPatienceUs);
  while (!bad->HungUp() && !deadline.passed()) std::this_thread::yield();
  EXPECT_TRUE(bad->HungUp());
  flatbuffers::FlatBufferBuilder builder;
  bad->Send(builder, wire::CreateOpenRequest(builder));
  EXPECT_TRUE(absl::IsPermissionDenied(bad->Hear().status));

  good->BeginStep(sequence, 16, 1);
  const Heard heard = good->Hear();
  EXPECT_TRUE(heard.status.ok()) << heard.status;
  EXPECT_FALSE(good->HungUp());
}

TEST_F(ServerTest, GarbageWithoutAHeaderCountsAgainstWhoseConnectionItIs) {
  Start();
  const auto client = AttachEngine();
  ASSERT_NE(client, nullptr);
  EXPECT_NE(client->OpenSequence(), 0u);
  for (int strike = 0; strike < 3; ++strike) {
    client->SendBytes(MessageBytes(12 + static_cast<size_t>(strike), 0x5a));
    EXPECT_TRUE(absl::IsInvalidArgument(client->Hear().status));
  }
  const Deadline deadline = Deadline::AfterUs(kPatienceUs);
  while (!client->HungUp() && !deadline.passed()) std::this_thread::yield();
  EXPECT_TRUE(client->HungUp());
}

TEST_F(ServerTest, ACutOffEngineKeepsItsSlotUntilItLetsGo) {
  Start({"--limits.clients=1"});
  auto bad = AttachEngine();
  ASSERT_NE(bad, nullptr);
  for (int strike = 0; strike < 3; ++strike) {
    bad->SendBytes(bad->Malformed());
    EXPECT_TRUE(absl::IsInvalidArgument(bad->Hear().status));
  }
  EXPECT_TRUE(absl::IsResourceExhausted(RefusalOf(EngineRequest())));
  bad.reset();
  EXPECT_NE(AttachWhenThereIsRoom(), nullptr);
}

TEST_F(ServerTest, ARequestAboveTheBoundIsExhaustedAndNothingElseChanges) {
  Start({"--limits.requests=2"});
  const auto client = AttachEngine();
  ASSERT_NE(client, nullptr);
  const uint64_t first = client->OpenSequence();
  const uint64_t second = client->OpenSequence();
  client->BeginStep(first, 6 * 16, 1);  // Six of the eight blocks stay pinned ...
  EXPECT_TRUE(client->Hear().status.ok());
  const uint64_t waiting = client->BeginStep(second, 6 * 16, 2);  // ... so these wait their turn.
  client->BeginStep(second, 16, 3);
  const uint64_t third = client->BeginStep(second, 16, 4);
  const Heard refused = client->Hear();
  EXPECT_EQ(refused.request, third);
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status)) << refused.status;
  EXPECT_THAT(std::string(refused.status.message()), HasSubstr("2 requests"));
  flatbuffers::FlatBufferBuilder builder;
  const wire::Ticket ticket(0, 1);
  MessageBytes bytes;
  ASSERT_TRUE(EncodeMessage<wire::StepEndRequest>(0, client->session(), builder,
                                                  wire::CreateStepEndRequest(builder, &ticket),
                                                  bytes)
                  .ok());
  client->SendBytes(bytes);
  const Heard ready = client->Hear();
  EXPECT_EQ(ready.request, waiting);
  EXPECT_TRUE(ready.status.ok()) << ready.status;
}

TEST_F(ServerTest, AListLongerThanTheDaemonTakesIsRefusedWithoutAStrike) {
  Start();
  const auto client = AttachEngine();
  ASSERT_NE(client, nullptr);
  const uint32_t keys_max = client->reply().pool.keys_per_command_max;
  for (int round = 0; round < 4; ++round) {
    flatbuffers::FlatBufferBuilder builder;
    const std::vector<wire::Key> keys(keys_max + 1, wire::Key(1, 2, 3, 4));
    client->Send(builder, wire::CreateOpenRequest(builder, builder.CreateVectorOfStructs(keys)));
    EXPECT_TRUE(absl::IsInvalidArgument(client->Hear().status));
  }
  EXPECT_NE(client->OpenSequence(), 0u);
}

TEST_F(ServerTest, ASlotIsFreeAgainAfterItsEngineHasGone) {
  Start({"--limits.clients=1"});
  auto first = AttachEngine();
  ASSERT_NE(first, nullptr);
  const absl::Status refused = RefusalOf(EngineRequest());
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("limits.clients"));
  const uint64_t sequence = first->OpenSequence();
  first->BeginStep(sequence, 32, 1);
  EXPECT_TRUE(first->Hear().status.ok());
  EXPECT_TRUE(first->EndStep(1).ok());
  first.reset();
  const auto second = AttachWhenThereIsRoom();
  ASSERT_NE(second, nullptr);
  flatbuffers::FlatBufferBuilder builder;
  second->Send(builder, wire::CreateResumeRequest(builder, sequence));
  EXPECT_TRUE(absl::IsNotFound(second->Hear().status));
}

// Its process is this one, and lives on.
TEST_F(ServerTest, AnEngineThatHangsUpInsideAStepKeepsWhatTheStepHas) {
  Start({"--limits.clients=1"});
  auto engine = AttachEngine();
  ASSERT_NE(engine, nullptr);
  engine->BeginStep(engine->OpenSequence(), 32, 1);
  EXPECT_TRUE(engine->Hear().status.ok());
  engine.reset();
  const auto admin = AttachAdmin();
  ASSERT_NE(admin, nullptr);
  const Deadline deadline = Deadline::AfterUs(kPatienceUs);
  while (admin->StateOfFirst().first == "attached" && !deadline.passed()) {
  }
  EXPECT_EQ(admin->StateOfFirst().first, "hung up");
  EXPECT_TRUE(absl::IsResourceExhausted(RefusalOf(EngineRequest())));
}

TEST_F(ServerTest, AnEngineThatMayNotBeKilledIsRevokedAndWhatItCouldWriteIsKept) {
  Start();
  const auto engine = AttachEngine();
  ASSERT_NE(engine, nullptr);
  const auto pid = static_cast<uint32_t>(getpid());  // The daemon never kills itself.
  EXPECT_TRUE(absl::IsPermissionDenied(engine->Revoke(0, pid)));
  engine->BeginStep(engine->OpenSequence(), 32, 1);
  EXPECT_TRUE(engine->Hear().status.ok());
  const auto admin = AttachAdmin();
  ASSERT_NE(admin, nullptr);
  EXPECT_TRUE(absl::IsNotFound(admin->Revoke(1, pid)));
  EXPECT_TRUE(absl::IsNotFound(admin->Revoke(~0u, pid)));
  EXPECT_TRUE(absl::IsFailedPrecondition(admin->Revoke(0, pid + 1)));
  EXPECT_EQ(admin->StateOfFirst().first, "attached");
  EXPECT_TRUE(admin->Revoke(0, pid).ok());
  EXPECT_EQ(admin->StateOfFirst(), (std::pair<std::string, uint64_t>("revoked", 2)));
  EXPECT_TRUE(admin->Revoke(0, pid).ok()) << "twice is no harm";
  EXPECT_TRUE(engine->HungUp());
  flatbuffers::FlatBufferBuilder builder;
  engine->Send(builder, wire::CreateOpenRequest(builder));
  EXPECT_TRUE(absl::IsPermissionDenied(engine->Hear().status));
  EXPECT_NE(AttachEngine(), nullptr);
}

TEST_F(ServerTest, ARequestThatIsReplayedIsAnsweredAgainAndChangesNothingElse) {
  Start();
  const auto engine = AttachEngine();
  const auto other = AttachEngine();
  ASSERT_NE(engine, nullptr);
  ASSERT_NE(other, nullptr);
  const uint64_t sequence = engine->OpenSequence();
  const uint64_t request = engine->BeginStep(sequence, 32, 1);
  const MessageBytes begin = engine->last_bytes();
  EXPECT_TRUE(engine->Hear().status.ok());
  for (int i = 0; i < 300; ++i) {  // More than may be unanswered.
    engine->Replay(begin);
    const Heard heard = engine->Hear();
    EXPECT_EQ(heard.request, request);
    EXPECT_TRUE(absl::IsInvalidArgument(heard.status)) << heard.status;
  }
  EXPECT_TRUE(engine->EndStep(1).ok()) << "the step is what it was";
  EXPECT_TRUE(absl::IsNotFound(engine->EndStep(1)));
  EXPECT_NE(other->OpenSequence(), 0u);
}

TEST_F(ServerTest, OnlyAdministratorsMayAskForEverybody) {
  Start();
  const auto engine = AttachEngine();
  ASSERT_NE(engine, nullptr);
  flatbuffers::FlatBufferBuilder builder;
  engine->Send(builder, wire::CreateStatusRequest(builder));
  EXPECT_TRUE(absl::IsPermissionDenied(engine->Hear().status));
  AttachRequest request;
  request.admin = true;
  const auto admin = Client::Attach(path_, request);
  ASSERT_TRUE(admin.ok()) << admin.status();
  (*admin)->Send(builder, wire::CreateStatusRequest(builder));
  EXPECT_TRUE((*admin)->Hear().status.ok());
  (*admin)->Send(builder, wire::CreateClientsRequest(builder));
  EXPECT_TRUE((*admin)->Hear().status.ok());
  (*admin)->Send(builder, wire::CreateOpenRequest(builder));
  EXPECT_TRUE(absl::IsPermissionDenied((*admin)->Hear().status));
}

TEST_F(ServerTest, AnAttachThatDoesNotMatchNamesTheField) {
  Start();
  AttachRequest first = EngineRequest();
  first.geometry.num_layers = 3;
  EXPECT_THAT(std::string(RefusalOf(first).message()), HasSubstr("layers_per_page"));
  const auto engine = AttachEngine();
  ASSERT_NE(engine, nullptr);
  AttachRequest heads = EngineRequest();
  heads.geometry.num_kv_heads = 2;
  EXPECT_TRUE(absl::IsFailedPrecondition(RefusalOf(heads)));
  EXPECT_THAT(std::string(RefusalOf(heads).message()), HasSubstr("num_kv_heads"));
  AttachRequest model = EngineRequest();
  model.model = "other";
  EXPECT_THAT(std::string(RefusalOf(model).message()), HasSubstr("model"));
  AttachRequest pool = EngineRequest();
  pool.pool = "other";
  EXPECT_THAT(std::string(RefusalOf(pool).message()), HasSubstr("serves the pool \"test\""));
  AttachRequest token = EngineRequest();
  token.token = "guess";
  EXPECT_TRUE(absl::IsPermissionDenied(RefusalOf(token)));
}

TEST_F(ServerTest, APoolThatDoesNotFitMemoryIsRefusedAndALaterOneIsNot) {
  Start();
  AttachRequest huge = EngineRequest();
  huge.geometry.page_tokens = 4096;
  huge.geometry.num_kv_heads = 1024;
  huge.geometry.head_dim_k = 1024;
  EXPECT_FALSE(RefusalOf(huge).ok());
  AttachRequest large = EngineRequest();  // 8 and 16 frames of a GiB.
  large.geometry.page_tokens = 4096;
  large.geometry.num_kv_heads = 512;
  large.geometry.head_dim_k = 64;
  large.geometry.head_dim_v = 64;
  large.geometry.num_layers = 4;
  large.geometry.layers_per_page = 2;
  const absl::Status refused = RefusalOf(large);
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("hbm.blocks"));
  EXPECT_NE(AttachEngine(), nullptr);
}

}  // namespace
}  // namespace kvpager
