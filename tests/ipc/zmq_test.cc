// tests/ipc/zmq_test.cc
//
// Proves that messages pass both ways, that nothing waits when it should not, and that a peer which
// is gone, does not read, or sends garbage is reported and disturbs nobody else.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include <array>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "ipc/default_paths.h"
#include "ipc/unique_fd.h"
#include "ipc/zmq_client.h"
#include "ipc/zmq_server.h"
#include "memmgr/base/check.h"
#include "tests/ipc/temporary_directory.h"

namespace kvpager {
namespace {

using testing::HasSubstr;

Deadline Long() { return Deadline::AfterUs(30'000'000); }

MessageBytes Bytes(const std::string& text) { return MessageBytes(text.begin(), text.end()); }

class Zmq : public testing::Test {
 protected:
  Zmq() : endpoint_(ZmqEndpointOf(directory_.path() + "/k.sock")) {}

  std::unique_ptr<ZmqServer> Bind(uint32_t mark = 1024) {
    auto server = ZmqServer::Bind({.endpoint = endpoint_, .high_water_mark = mark});
    KVP_CHECK(server.ok());
    return *std::move(server);
  }

  std::unique_ptr<ZmqClient> Connect(int hangup_fd = -1, uint32_t mark = 1024) {
    auto client = ZmqClient::Connect(
        {.endpoint = endpoint_, .hangup_fd = hangup_fd, .high_water_mark = mark});
    KVP_CHECK(client.ok());
    return *std::move(client);
  }

  // Sleeps on fd() only as its comment allows.
  static IncomingMessage ReceiveOne(ZmqServer& server) {
    std::array<IncomingMessage, 1> messages;
    while (server.Receive(absl::MakeSpan(messages)) == 0) {
      if (server.has_input()) continue;
      pollfd watch = {.fd = server.fd(), .events = POLLIN, .revents = 0};
      KVP_CHECK(poll(&watch, 1, 30'000) == 1);
    }
    return messages[0];
  }

  const TemporaryDirectory directory_;
  const std::string endpoint_;
};

TEST_F(Zmq, ARequestIsAnsweredToWhomAsked) {
  const auto server = Bind();
  const auto a = Connect();
  const auto b = Connect();
  ASSERT_TRUE(a->Send(Bytes("from a"), Long()).ok());
  ASSERT_TRUE(b->Send(Bytes("from b"), Long()).ok());
  for (int i = 0; i < 2; ++i) {
    const IncomingMessage message = ReceiveOne(*server);
    ASSERT_TRUE(server->Send(message.peer, message.bytes).ok());
  }
  MessageBytes bytes;
  ASSERT_TRUE(a->Receive(Long(), bytes).ok());
  EXPECT_EQ(bytes, Bytes("from a"));
  ASSERT_TRUE(b->Receive(Long(), bytes).ok());
  EXPECT_EQ(bytes, Bytes("from b"));
}

TEST_F(Zmq, ThousandsOfMessagesArriveOnceAndInOrderThroughAnEdgeTriggeredDescriptor) {
  constexpr int kMessages = 20'000;
  const auto server = Bind();
  std::thread engine([this] {
    const auto client = Connect();
    MessageBytes bytes;
    int answered = 0;
    for (int i = 0; i < kMessages; ++i) {
      ASSERT_TRUE(client->Send(Bytes(std::to_string(i)), Long()).ok());
      if (i < 100) continue;  // At most 100 in flight.
      ASSERT_TRUE(client->Receive(Long(), bytes).ok());
      ASSERT_EQ(bytes, Bytes(std::to_string(answered++)));
    }
    while (answered < kMessages) {
      ASSERT_TRUE(client->Receive(Long(), bytes).ok());
      ASSERT_EQ(bytes, Bytes(std::to_string(answered++)));
    }
  });
  std::array<IncomingMessage, 16> messages;
  for (int served = 0; served < kMessages;) {
    const size_t count = server->Receive(absl::MakeSpan(messages));
    for (size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(server->Send(messages[i].peer, messages[i].bytes).ok());
    }
    served += static_cast<int>(count);
    if (count > 0 || server->has_input()) continue;
    pollfd watch = {.fd = server->fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&watch, 1, 30'000), 1) << "an edge was lost after " << served;
  }
  engine.join();
}

TEST_F(Zmq, ReceivingIsBoundedPerTurnAndNeverWaits) {
  const auto server = Bind();
  std::array<IncomingMessage, 2> messages;
  EXPECT_EQ(server->Receive(absl::MakeSpan(messages)), 0u);
  const auto client = Connect();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->Send(Bytes("x"), Long()).ok());
  size_t received = 1;
  ReceiveOne(*server);
  while (received < 5) {
    const size_t count = server->Receive(absl::MakeSpan(messages));
    EXPECT_LE(count, 2u);
    received += count;
  }
  EXPECT_FALSE(server->has_input());
}

TEST_F(Zmq, AMessageOfOneMebibytePasses) {
  const auto server = Bind();
  const auto client = Connect();
  MessageBytes large(kMessageBytesMax, 7);
  ASSERT_TRUE(client->Send(large, Long()).ok());
  const IncomingMessage message = ReceiveOne(*server);
  EXPECT_EQ(message.bytes, large);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(message.bytes.data()) % 8, 0u);
}

TEST_F(Zmq, APeerThatIsGoneIsReported) {
  const auto server = Bind();
  EXPECT_EQ(server->Send("nobody", Bytes("x")).code(), absl::StatusCode::kNotFound);
  auto client = Connect();
  ASSERT_TRUE(client->Send(Bytes("x"), Long()).ok());
  const IncomingMessage message = ReceiveOne(*server);
  client.reset();
  // Until libzmq has noticed, sends succeed into the queue or find it full; in the end neither.
  absl::Status status;
  const Deadline deadline = Long();
  std::array<IncomingMessage, 1> messages;
  while (!absl::IsNotFound(status) && !deadline.passed()) {
    EXPECT_EQ(server->Receive(absl::MakeSpan(messages)), 0u);
    status = server->Send(message.peer, Bytes("y"));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
}

TEST_F(Zmq, APeerThatDoesNotReadIsReportedAndOthersAreServed) {
  const auto server = Bind(/*mark=*/4);
  const auto idle = Connect(-1, 4);
  ASSERT_TRUE(idle->Send(Bytes("x"), Long()).ok());
  const IncomingMessage message = ReceiveOne(*server);
  absl::Status status;
  const MessageBytes large(64 * 1024, 1);
  for (int i = 0; i < 10'000 && status.ok(); ++i) status = server->Send(message.peer, large);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);

  const auto busy = Connect();
  ASSERT_TRUE(busy->Send(Bytes("y"), Long()).ok());
  const IncomingMessage other = ReceiveOne(*server);
  ASSERT_TRUE(server->Send(other.peer, other.bytes).ok());
  MessageBytes bytes;
  EXPECT_TRUE(busy->Receive(Long(), bytes).ok());
}

TEST_F(Zmq, WithoutAnAnswerTheClientStopsAtItsDeadline) {
  const auto server = Bind();
  const auto client = Connect();
  MessageBytes bytes;
  EXPECT_EQ(client->Receive(Deadline::AfterUs(0), bytes).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(client->Receive(Deadline::AfterUs(2000), bytes).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(Zmq, WhenTheDaemonGoesAWaitEndsAtOnce) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const auto server = Bind();
  const auto client = Connect(read_end.get());
  std::thread daemon([&] { write_end.reset(); });
  MessageBytes bytes;
  EXPECT_EQ(client->Receive(Long(), bytes).code(), absl::StatusCode::kUnavailable);
  daemon.join();
}

TEST_F(Zmq, TheSocketFileHasItsModeAndGoesWithTheServer) {
  const std::string path = directory_.path() + "/k.sock.zmq";
  auto server = Bind();
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(Zmq, AnEndpointThatIsNoAbsolutePathIsRefused) {
  EXPECT_EQ(ZmqServer::Bind({.endpoint = "tcp://127.0.0.1:1"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ZmqServer::Bind({.endpoint = "ipc://" + std::string(108, '/')}).status().code(),
            absl::StatusCode::kInvalidArgument);
  const absl::Status status =
      ZmqServer::Bind({.endpoint = "ipc://" + directory_.path() + "/missing/x"}).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("missing/x"));
}

// A DEALER without our rules.
class RawDealer {
 public:
  explicit RawDealer(const std::string& endpoint) {
    const int none = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &none, sizeof(none));
    KVP_CHECK(zmq_connect(socket_, endpoint.c_str()) == 0);
  }
  ~RawDealer() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  void Send(const MessageBytes& bytes, int flags) {
    KVP_CHECK(zmq_send(socket_, bytes.data(), bytes.size(), flags) >= 0);
  }

 private:
  void* context_ = zmq_ctx_new();
  void* socket_ = zmq_socket(context_, ZMQ_DEALER);
};

TEST_F(Zmq, MessagesOfSeveralPartsAndOversizedOnesAreDroppedAndOthersNoticeNothing) {
  const auto server = Bind();
  RawDealer hostile(endpoint_);
  hostile.Send(Bytes("a"), ZMQ_SNDMORE);
  hostile.Send(Bytes("b"), ZMQ_SNDMORE);
  hostile.Send(Bytes("c"), 0);
  hostile.Send(Bytes("whole"), 0);
  EXPECT_EQ(ReceiveOne(*server).bytes, Bytes("whole"));
  EXPECT_EQ(server->messages_dropped(), 1u);
  hostile.Send(MessageBytes(kMessageBytesMax + 1, 0), 0);

  const auto client = Connect();
  ASSERT_TRUE(client->Send(Bytes("good"), Long()).ok());
  const IncomingMessage message = ReceiveOne(*server);
  EXPECT_EQ(message.bytes, Bytes("good"));
  ASSERT_TRUE(server->Send(message.peer, message.bytes).ok());
  MessageBytes bytes;
  EXPECT_TRUE(client->Receive(Long(), bytes).ok());
}

}  // namespace
}  // namespace kvpager
