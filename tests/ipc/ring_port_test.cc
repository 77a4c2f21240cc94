// tests/ipc/ring_port_test.cc
//
// Both directions, with doorbells: no wake-up is lost however two threads meet, what does not fit
// waits in a bounded backlog, and a side that is gone or sends garbage is noticed.

#include "ipc/ring_port.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ipc/ring_client.h"
#include "memmgr/base/check.h"

namespace kvpager {
namespace {

using testing::HasSubstr;

constexpr int kLongMs = 60'000;

Deadline Long() { return Deadline::AfterUs(uint64_t{kLongMs} * 1000); }
Deadline Now() { return Deadline::AfterUs(0); }

MessageBytes Message(size_t bytes, uint64_t number) {
  MessageBytes message(bytes);
  for (size_t i = 0; i < bytes; ++i) message[i] = static_cast<uint8_t>(number + i);
  return message;
}

bool Readable(int fd) {
  pollfd watch = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&watch, 1, 0) == 1;
}

struct Ends {
  std::optional<RingPort> daemon;
  std::optional<RingPort> engine;
  RingControls* controls = nullptr;
};

Ends MakeEnds() {
  absl::StatusOr<ShmRegion> region = RingPort::MakeRegion();
  KVP_CHECK(region.ok());
  absl::StatusOr<ShmRegion> mapped =
      ShmRegion::Map("ring", UniqueFd(dup(region->fd())), kRingRegionBytes, Access::kReadWrite);
  KVP_CHECK(mapped.ok());
  auto bells = Doorbell::MakePair();
  KVP_CHECK(bells.ok());
  absl::StatusOr<Doorbell> engine_bell = Doorbell::Adopt(std::move(bells->second));
  KVP_CHECK(engine_bell.ok());
  Ends ends;
  ends.controls = reinterpret_cast<RingControls*>(region->data());
  ends.daemon.emplace(*std::move(region), std::move(bells->first), RingSide::kDaemon);
  ends.engine.emplace(*std::move(mapped), *std::move(engine_bell), RingSide::kEngine);
  return ends;
}

class Port : public testing::Test {
 protected:
  RingPort& daemon() { return *ends_.daemon; }
  RingPort& engine() { return *ends_.engine; }

  static MessageBytes ReceiveOne(RingPort& port) {
    MessageBytes bytes;
    const absl::StatusOr<bool> got = port.Receive(bytes);
    EXPECT_TRUE(got.ok() && *got) << got.status();
    return bytes;
  }
  static bool ReceivesNothing(RingPort& port) {
    MessageBytes bytes;
    const absl::StatusOr<bool> got = port.Receive(bytes);
    return got.ok() && !*got;
  }

  Ends ends_ = MakeEnds();
};

TEST_F(Port, CarriesMessagesBothWays) {
  ASSERT_TRUE(engine().Send(Message(100, 1)).ok());
  EXPECT_EQ(ReceiveOne(daemon()), Message(100, 1));
  EXPECT_TRUE(ReceivesNothing(engine()));
  ASSERT_TRUE(daemon().Send(Message(200, 2)).ok());
  EXPECT_EQ(ReceiveOne(engine()), Message(200, 2));
  EXPECT_FALSE(Readable(daemon().bell_fd()));  // Nobody slept, so nobody was rung for.
  EXPECT_FALSE(Readable(engine().bell_fd()));
}

TEST_F(Port, RingsForASleeperOnly) {
  ASSERT_TRUE(daemon().Sleep());
  ASSERT_TRUE(engine().Send(Message(8, 1)).ok());
  EXPECT_TRUE(Readable(daemon().bell_fd()));
  EXPECT_EQ(engine().bells_rung(), 1u);
  daemon().Awake();
  EXPECT_TRUE(daemon().Silence());
  EXPECT_FALSE(Readable(daemon().bell_fd()));
  EXPECT_FALSE(daemon().Sleep());  // The message is there still.
  EXPECT_EQ(ReceiveOne(daemon()), Message(8, 1));
  EXPECT_TRUE(daemon().Sleep());
}

TEST_F(Port, KeepsWhatDoesNotFitAndGoesOnWhenRungFor) {
  constexpr uint64_t kMessages = 40;
  constexpr size_t kBytes = 100'000;  // Two records; 4 MB altogether.
  for (uint64_t i = 0; i < kMessages; ++i) ASSERT_TRUE(daemon().Send(Message(kBytes, i)).ok());
  EXPECT_TRUE(daemon().has_backlog());
  ASSERT_TRUE(daemon().Sleep());
  int wakes = 0;
  for (uint64_t i = 0; i < kMessages;) {
    MessageBytes bytes;
    const absl::StatusOr<bool> got = engine().Receive(bytes);
    ASSERT_TRUE(got.ok()) << got.status();
    if (*got) {
      ASSERT_EQ(bytes, Message(kBytes, i));
      ++i;
      continue;
    }
    ASSERT_TRUE(Readable(daemon().bell_fd())) << "message " << i;
    daemon().Awake();
    ASSERT_TRUE(daemon().Silence());
    ASSERT_TRUE(daemon().Pump().ok());
    daemon().Sleep();
    ++wakes;
  }
  EXPECT_FALSE(daemon().has_backlog());
  EXPECT_GT(wakes, 5);
}

TEST_F(Port, TakesTheLongestMessage) {
  ASSERT_TRUE(engine().Send(Message(kMessageBytesMax, 3)).ok());
  MessageBytes bytes;
  absl::StatusOr<bool> got = false;
  while (got.ok() && !*got) {
    got = daemon().Receive(bytes);
    ASSERT_TRUE(engine().Pump().ok());
  }
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(bytes, Message(kMessageBytesMax, 3));
}

TEST_F(Port, RefusesWhatTheBacklogDoesNotHoldAndChangesNothing) {
  uint64_t sent = 0;
  absl::Status status;
  for (; status.ok(); ++sent) status = daemon().Send(Message(64, sent));
  --sent;
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(sent, RingPort::kBacklogMessagesMax + kRingBytes / RingRecordRoom(64));
  for (uint64_t i = 0; i < sent; ++i) {
    ASSERT_EQ(ReceiveOne(engine()), Message(64, i));
    ASSERT_TRUE(daemon().Pump().ok());
  }
  EXPECT_TRUE(ReceivesNothing(engine()));
}

TEST_F(Port, BoundsTheBacklogByItsBytesToo) {
  uint64_t sent = 0;
  while (daemon().Send(Message(kMessageBytesMax, sent)).ok()) ++sent;
  EXPECT_LE(sent, RingPort::kBacklogBytesMax / kMessageBytesMax + 1);
}

TEST_F(Port, StaysBrokenAfterGarbage) {
  ends_.controls->requests.tail.store(3);
  MessageBytes bytes;
  EXPECT_TRUE(daemon().has_input());
  EXPECT_TRUE(absl::IsInvalidArgument(daemon().Receive(bytes).status()));
  ends_.controls->requests.tail.store(0);
  EXPECT_TRUE(absl::IsInvalidArgument(daemon().Receive(bytes).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(daemon().Send(Message(8, 1))));
}

// ---- Doorbells ----------------------------------------------------------------------------------

TEST(Doorbell, NeverBlocksHoweverOftenItIsRungOrWhatTheOtherSideDoes) {
  auto bells = Doorbell::MakePair();
  ASSERT_TRUE(bells.ok());
  // A hostile engine takes the flag from its end; ours is not the same file.
  ASSERT_EQ(fcntl(bells->second.get(), F_SETFL, 0), 0);
  for (int i = 0; i < 200'000; ++i) bells->first.Ring();
  absl::StatusOr<Doorbell> other = Doorbell::Adopt(std::move(bells->second));
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(Readable(other->fd()));
  while (Readable(other->fd())) ASSERT_TRUE(other->Silence());
  EXPECT_TRUE(other->Silence());  // Silent already.
}

TEST(Doorbell, HearsThatTheOtherEndIsClosed) {
  auto bells = Doorbell::MakePair();
  ASSERT_TRUE(bells.ok());
  bells->second.reset();
  EXPECT_TRUE(Readable(bells->first.fd()));
  EXPECT_FALSE(bells->first.Silence());
  bells->first.Ring();  // And no SIGPIPE.
}

TEST(Doorbell, RefusesADescriptorThatIsNone) {
  EXPECT_TRUE(absl::IsInvalidArgument(Doorbell::Adopt(UniqueFd()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Doorbell::Adopt(UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC))).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Doorbell::Adopt(UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Doorbell::Adopt(UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))).status()));
}

// ---- The client, against a daemon in another thread ---------------------------------------------

// Sends back whatever comes, until a message of one byte. False: a wake-up was lost.
bool Echo(RingPort& port) {
  MessageBytes bytes;
  while (true) {
    KVP_CHECK(port.Pump().ok());
    const absl::StatusOr<bool> got = port.Receive(bytes);
    KVP_CHECK(got.ok());
    if (*got && bytes.size() == 1) return true;
    if (*got) {
      KVP_CHECK(port.Send(bytes).ok());
      continue;
    }
    if (port.Sleep()) {
      pollfd watch = {.fd = port.bell_fd(), .events = POLLIN, .revents = 0};
      if (poll(&watch, 1, kLongMs) != 1) return false;
      KVP_CHECK(port.Silence());
    }
    port.Awake();
  }
}

struct StressOptions {
  uint64_t spin_ns = 0;
  uint64_t rounds = 0;
  uint64_t burst_max = 1;
  size_t bytes_max = 64;
};

void Stress(const StressOptions& options) {
  Ends ends = MakeEnds();
  bool echoed = false;
  std::thread daemon([&] { echoed = Echo(*ends.daemon); });
  RingClient client(*std::move(ends.engine), {.hangup_fd = -1, .spin_ns = options.spin_ns});
  std::mt19937_64 random(3);
  uint64_t number = 0;
  for (uint64_t round = 0; round < options.rounds; ++round) {
    std::vector<MessageBytes> sent;
    for (uint64_t i = 1 + random() % options.burst_max; i > 0; --i) {
      sent.push_back(Message(2 + random() % options.bytes_max, ++number));
      ASSERT_TRUE(client.Send(sent.back()).ok());
    }
    for (const MessageBytes& message : sent) {
      MessageBytes bytes;
      const absl::Status received = client.Receive(Long(), bytes);
      ASSERT_TRUE(received.ok()) << "a wake-up was lost: " << received;
      ASSERT_EQ(bytes, message);
    }
  }
  ASSERT_TRUE(client.Send(Message(1, 0)).ok());
  daemon.join();
  EXPECT_TRUE(echoed) << "a wake-up of the daemon was lost";
}

uint64_t Rounds(uint64_t rounds) {
  const char* sanitized = std::getenv("KVPAGER_TEST_SANITIZED");
  return sanitized != nullptr && std::string(sanitized) == "short" ? rounds / 10 : rounds;
}

TEST(RingClient, LosesNoWakeUpOneMessageAtATime) { Stress({.rounds = Rounds(50'000)}); }

TEST(RingClient, LosesNoWakeUpWhenItLooksBeforeItSleeps) {
  Stress({.spin_ns = 2000, .rounds = Rounds(50'000)});
}

TEST(RingClient, LosesNoWakeUpInBursts) {
  Stress({.rounds = Rounds(5'000), .burst_max = 30, .bytes_max = 3000});
}

TEST(RingClient, LosesNoWakeUpWithMessagesThatDoNotFit) {
  Stress({.rounds = Rounds(100), .burst_max = 5, .bytes_max = kMessageBytesMax - 2});
}

TEST(RingClient, PollsWithoutWaiting) {
  Ends ends = MakeEnds();
  RingClient client(*std::move(ends.engine), {.hangup_fd = -1, .spin_ns = 1'000'000});
  MessageBytes bytes;
  EXPECT_TRUE(absl::IsDeadlineExceeded(client.Receive(Now(), bytes)));
  ASSERT_TRUE(ends.daemon->Send(Message(10, 4)).ok());
  ASSERT_TRUE(client.Receive(Now(), bytes).ok());
  EXPECT_EQ(bytes, Message(10, 4));
}

TEST(RingClient, SaysThatTheDaemonIsGoneBehindWhatItHadSent) {
  Ends ends = MakeEnds();
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd hangup(fds[0]);
  UniqueFd daemon_end(fds[1]);
  RingClient client(*std::move(ends.engine), {.hangup_fd = hangup.get(), .spin_ns = 0});
  ASSERT_TRUE(ends.daemon->Send(Message(10, 4)).ok());
  daemon_end.reset();
  MessageBytes bytes;
  EXPECT_TRUE(client.Receive(Long(), bytes).ok());
  EXPECT_TRUE(absl::IsUnavailable(client.Receive(Long(), bytes)));
}

TEST(RingClient, SaysThatTheDaemonIsGoneWhenItsBellIs) {
  Ends ends = MakeEnds();
  RingClient client(*std::move(ends.engine), {});
  ASSERT_TRUE(ends.daemon->Send(Message(10, 4)).ok());
  ends.daemon.reset();
  MessageBytes bytes;
  EXPECT_TRUE(client.Receive(Long(), bytes).ok());
  EXPECT_TRUE(absl::IsUnavailable(client.Receive(Long(), bytes)));
}

TEST(RingClient, RefusesTheGarbageOfADaemon) {
  Ends ends = MakeEnds();
  RingClient client(*std::move(ends.engine), {});
  ends.controls->answers.tail.store(kRingBytes + 8);
  MessageBytes bytes;
  const absl::Status received = client.Receive(Long(), bytes);
  EXPECT_TRUE(absl::IsUnavailable(received));
  EXPECT_THAT(std::string(received.message()), HasSubstr("broke the ring"));
}

TEST(RingClient, QueuesABoundedNumberForADaemonThatDoesNotRead) {
  Ends ends = MakeEnds();
  RingClient client(*std::move(ends.engine), {});
  uint64_t sent = 0;
  absl::Status status;
  for (; status.ok(); ++sent) status = client.Send(Message(64, sent));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_LE(sent, RingPort::kBacklogMessagesMax + kRingBytes / RingRecordRoom(64) + 1);
}

}  // namespace
}  // namespace kvpager
