// That messages through the shared ring serve as those on ZeroMQ do, and that whatever an engine
// writes into its ring, or leaves unread there, cuts off that engine and disturbs nobody else.
//
// How: a real daemon; a raw engine that attaches and then writes into the shared memory what
// libkvpager never would; and beside it a TestEngine, which must be served right before and after.

#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "ipc/fd_channel.h"
#include "ipc/ring_client.h"
#include "ipc/ring_layout.h"
#include "ipc/wire.h"
#include "ipc/zmq_client.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

constexpr uint64_t kPatienceUs = 60'000'000;

// As tests/e2e/test_engine.h asks for by default.
AttachRequest EngineRequest() {
  AttachRequest request;
  request.pool = "e2e";
  request.model = "test-model-1";
  request.engine_name = "hostile";
  request.geometry = {.page_tokens = 16,
                      .num_layers = 2,
                      .layers_per_page = 2,
                      .num_kv_heads = 2,
                      .head_dim_k = 64,
                      .head_dim_v = 64};
  request.ring = true;
  return request;
}

// An engine without libkvpager.
class RawEngine {
 public:
  static std::unique_ptr<RawEngine> Attach(const std::string& socket_path) {
    absl::StatusOr<AttachClient> channel =
        AttachClient::Attach(socket_path, EngineRequest(), kPatienceUs);
    EXPECT_TRUE(channel.ok()) << channel.status();
    if (!channel.ok()) return nullptr;
    EXPECT_NE(channel->FindRegion(kRegionRing), nullptr);
    absl::StatusOr<ShmRegion> region = ShmRegion::Map("ring", channel->TakeRegion(kRegionRing),
                                                      kRingRegionBytes, Access::kReadWrite);
    absl::StatusOr<Doorbell> bell = Doorbell::Adopt(channel->TakeRegion(kRegionDoorbell));
    EXPECT_TRUE(region.ok() && bell.ok());
    if (!region.ok() || !bell.ok()) return nullptr;
    return std::unique_ptr<RawEngine>(
        new RawEngine(*std::move(channel), *std::move(region), *std::move(bell)));
  }

  RingControls& controls() { return *reinterpret_cast<RingControls*>(data_); }
  uint8_t* requests() { return data_ + kRingDataOffset; }
  RingPort& port() { return port_; }
  const AttachReply& reply() const { return channel_.reply(); }

  MessageBytes Resume(uint64_t request) const {
    flatbuffers::FlatBufferBuilder builder;
    MessageBytes bytes;
    EXPECT_TRUE(EncodeMessage<wire::ResumeRequest>(request, reply().session, builder,
                                                   wire::CreateResumeRequest(builder, 12345), bytes)
                    .ok());
    return bytes;
  }

  // The status of the next answer.
  absl::Status Hear() {
    MessageBytes bytes;
    const Deadline deadline = Deadline::AfterUs(kPatienceUs);
    while (!deadline.passed()) {
      const absl::StatusOr<bool> got = port_.Receive(bytes);
      if (!got.ok()) return got.status();
      if (*got) return StatusIn(bytes);
      pollfd watch = {.fd = port_.bell_fd(), .events = POLLIN, .revents = 0};
      if (port_.Sleep()) poll(&watch, 1, 60'000);
      port_.Awake();
      port_.Silence();
    }
    return absl::DeadlineExceededError("nothing was heard");
  }

  static absl::Status StatusIn(const MessageBytes& bytes) {
    const absl::StatusOr<MessageView> view = DecodeMessage(bytes);
    if (!view.ok()) return view.status();
    const auto& answer = view->body<wire::Answer>();
    return StatusOf(answer.status(), StringOf(answer.reason()));
  }

  bool HungUp() const { return channel_.HungUp(); }
  // The daemon hangs up, sooner or later.
  bool IsCutOff() const {
    pollfd watch = {.fd = channel_.fd(), .events = POLLIN | POLLRDHUP, .revents = 0};
    return poll(&watch, 1, 60'000) == 1;
  }

 private:
  RawEngine(AttachClient channel, ShmRegion region, Doorbell bell)
      : channel_(std::move(channel)),
        data_(region.data()),
        port_(std::move(region), std::move(bell), RingSide::kEngine) {}

  AttachClient channel_;
  uint8_t* data_;
  RingPort port_;
};

class RingTest : public ::testing::Test {
 protected:
  void Start(const DaemonOptions& options = {}) {
    daemon_ = std::make_unique<Daemon>(directory_, options);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
    EngineOptions engine_options;
    engine_options.socket_path = daemon_->socket_path();
    ASSERT_EQ(good_.Open(engine_options), KVP_OK) << good_.error();
    ExpectWell();
  }

  // The engine that was there all the time is served, and sees its own bytes.
  void ExpectWell() {
    const Served served = good_.Serve(7, 4, 0);
    EXPECT_EQ(served.status, KVP_OK) << good_.error();
    EXPECT_EQ(served.mismatched_blocks, 0u);
  }

  void ExpectCutOff(RawEngine& engine, const std::string& why) {
    EXPECT_TRUE(engine.IsCutOff()) << why;
    const std::string log = daemon_->Log();
    EXPECT_NE(log.find("cut off"), std::string::npos) << log;
    EXPECT_NE(log.find(why), std::string::npos) << "\"" << why << "\" is missing in:\n" << log;
    ExpectWell();
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Daemon> daemon_;
  TestEngine good_;
};

TEST_F(RingTest, OnBothTransportsEveryRequestIsServedAndEveryPageIsRight) {
  const TraceShape shape = {.sessions = 6, .turns = 4};
  for (const bool is_ring : {false, true}) {
    const TemporaryDirectory directory;
    Daemon daemon(directory, {});
    ASSERT_TRUE(daemon.WaitUntilReady()) << daemon.Log();
    const std::string trace = WriteTrace(directory, "trace.jsonl", shape);
    const ReplayOptions options = {daemon.socket_path(),
                                   trace,
                                   "replay",
                                   {"--transport", is_ring ? "ring" : "zmq", "--pinned-steps"},
                                   "",
                                   std::nullopt};
    const ReplayResult result = RunReplay(directory, options);
    EXPECT_EQ(result.exit_status, 0) << result.output;
    EXPECT_EQ(result.report.pages_mismatched, 0u);
    EXPECT_EQ(result.report.requests, shape.requests());
    EXPECT_EQ(result.report.lookup_blocks, shape.lookup_blocks());
    EXPECT_GT(result.report.hits(), 0u);
    EXPECT_EQ(daemon.Log().find("with a ring") != std::string::npos, is_ring) << daemon.Log();
  }
}

TEST_F(RingTest, ADaemonWithoutRingsServesOnZeroMqAndSaysSoToWhoWantsNothingElse) {
  DaemonOptions options;
  options.flags = {"--ring.enabled=false"};
  Daemon daemon(directory_, options);
  ASSERT_TRUE(daemon.WaitUntilReady()) << daemon.Log();
  const std::string trace = WriteTrace(directory_, "trace.jsonl", {.sessions = 1, .turns = 1});
  ReplayOptions replay = {daemon.socket_path(), trace, "auto", {}, "", std::nullopt};
  const ReplayResult served = RunReplay(directory_, replay);
  EXPECT_EQ(served.exit_status, 0) << served.output;
  replay.name = "ring";
  replay.flags = {"--transport", "ring"};
  const ReplayResult refused = RunReplay(directory_, replay);
  EXPECT_GT(refused.exit_status, 0);
  EXPECT_NE(refused.output.find("ring.enabled"), std::string::npos) << refused.output;
  EXPECT_EQ(daemon.Log().find("with a ring"), std::string::npos) << daemon.Log();
}

TEST_F(RingTest, EveryImpossibleIndexCutsItsEngineOffAndNobodyElse) {
  struct Case {
    const char* why;
    std::function<void(RawEngine&)> tamper;
  };
  const auto tail = [](uint64_t value) {
    return [value](RawEngine& engine) { engine.controls().requests.tail.store(value); };
  };
  const auto record = [](RingRecord forged, uint64_t value) {
    return [forged, value](RawEngine& engine) {
      *reinterpret_cast<RingRecord*>(engine.requests()) = forged;
      engine.controls().requests.tail.store(value);
    };
  };
  const std::vector<Case> cases = {
      {"a tail that is not within its bytes", tail(kRingBytes + 8)},
      {"a tail that is not within its bytes", tail(~uint64_t{0} - 7)},
      {"a tail that is no multiple of 8", tail(12)},
      {"a record of 0 bytes", record({.bytes = 0}, 64)},
      {"a record of 4294967295 bytes", record({.bytes = ~0u}, kRingBytes)},
      {"a record with flags 6", record({.bytes = 8, .flags = 6}, 64)},
      {"record 9 where 0 is due", record({.bytes = 8, .number = 9}, 64)},
      {"ends behind the tail", record({.bytes = 60}, 64)},
      {"the head of the ring", [](RawEngine& engine) {
         engine.controls().answers.head.store(1 << 20);  // Found when an answer meets a full ring.
         while (engine.port().Send(engine.Resume(1)).ok() && !engine.HungUp()) {
         }
       }}};
  Start();
  for (const Case& each : cases) {
    SCOPED_TRACE(each.why);
    const std::unique_ptr<RawEngine> engine = RawEngine::Attach(daemon_->socket_path());
    ASSERT_NE(engine, nullptr);
    each.tamper(*engine);
    ExpectCutOff(*engine, each.why);
  }
}

TEST_F(RingTest, ThreeMalformedMessagesInARingCutItsEngineOff) {
  Start();
  const std::unique_ptr<RawEngine> engine = RawEngine::Attach(daemon_->socket_path());
  ASSERT_NE(engine, nullptr);
  ASSERT_TRUE(engine->port().Send(engine->Resume(1)).ok());
  EXPECT_TRUE(absl::IsNotFound(engine->Hear()));  // It is a session like others.
  for (int strike = 0; strike < 3; ++strike) {
    EXPECT_FALSE(engine->HungUp());
    ASSERT_TRUE(engine->port().Send(MessageBytes(48, 0x5a)).ok());
    EXPECT_TRUE(absl::IsInvalidArgument(engine->Hear()));
  }
  ExpectCutOff(*engine, "3 malformed messages");
}

TEST_F(RingTest, AnEngineThatNeverReadsItsAnswersIsCutOff) {
  Start();
  const std::unique_ptr<RawEngine> engine = RawEngine::Attach(daemon_->socket_path());
  ASSERT_NE(engine, nullptr);
  const MessageBytes request = engine->Resume(1);
  while (!engine->HungUp()) {
    const absl::Status sent = engine->port().Send(request);
    ASSERT_TRUE(sent.ok() || absl::IsResourceExhausted(sent)) << sent;
  }
  ExpectCutOff(*engine, "it does not read its answers");
}

TEST_F(RingTest, ATokenIsGoodInItsOwnRingOnly) {
  Start();
  const std::unique_ptr<RawEngine> engine = RawEngine::Attach(daemon_->socket_path());
  const std::unique_ptr<RawEngine> other = RawEngine::Attach(daemon_->socket_path());
  ASSERT_TRUE(engine != nullptr && other != nullptr);
  ASSERT_TRUE(engine->port().Send(other->Resume(1)).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(engine->Hear()));
  const auto zmq = ZmqClient::Connect({.endpoint = engine->reply().endpoint});
  ASSERT_TRUE(zmq.ok()) << zmq.status();
  ASSERT_TRUE((*zmq)->Send(engine->Resume(2), Deadline::AfterUs(kPatienceUs)).ok());
  MessageBytes bytes;
  ASSERT_TRUE((*zmq)->Receive(Deadline::AfterUs(kPatienceUs), bytes).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(RawEngine::StatusIn(bytes)));
  ASSERT_TRUE(engine->port().Send(engine->Resume(3)).ok());
  EXPECT_TRUE(absl::IsNotFound(engine->Hear()));  // And neither lost its own place.
  ASSERT_TRUE(other->port().Send(other->Resume(4)).ok());
  EXPECT_TRUE(absl::IsNotFound(other->Hear()));
}

TEST_F(RingTest, RingingWithoutAMessageOrClosingTheBellHarmsNobody) {
  Start();
  std::unique_ptr<RawEngine> engine = RawEngine::Attach(daemon_->socket_path());
  ASSERT_NE(engine, nullptr);
  const char strokes[64] = {};
  for (int i = 0; i < 100'000; ++i) {
    send(engine->port().bell_fd(), strokes, sizeof(strokes), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  ExpectWell();
  engine->port().CloseBell();
  ExpectWell();
  EXPECT_FALSE(engine->HungUp());
  engine.reset();
  ExpectWell();
  EXPECT_EQ(daemon_->Log().find("cut off"), std::string::npos) << daemon_->Log();
}

}  // namespace
}  // namespace kvpager::e2e
