// That no engine keeps another one waiting: of each ring a turn takes a bounded number of messages,
// in turns, and ZeroMQ has a share of its own.

#include "memmgr/daemon/intake.h"

#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "ipc/zmq_client.h"
#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr uint32_t kEngines = 12;

class IntakeTest : public ::testing::Test {
 protected:
  IntakeTest() {
    char name[] = "/tmp/kvpager_intake_XXXXXX";
    directory_ = mkdtemp(name);
    auto zmq = ZmqServer::Bind({.endpoint = "ipc://" + directory_ + "/k.zmq"});
    KVP_CHECK(zmq.ok());
    zmq_ = *std::move(zmq);
    intake_.emplace(&sessions_, zmq_.get());
    for (uint32_t i = 0; i < kEngines; ++i) AddEngine();
  }
  ~IntakeTest() override {
    zmq_.reset();
    std::filesystem::remove_all(directory_);
  }

  void AddEngine() {
    auto session = sessions_.Add(false);
    auto region = RingPort::MakeRegion();
    auto bells = Doorbell::MakePair();
    KVP_CHECK(session.ok() && region.ok() && bells.ok());
    auto mapped =
        ShmRegion::Map("ring", UniqueFd(dup(region->fd())), kRingRegionBytes, Access::kReadWrite);
    auto bell = Doorbell::Adopt(std::move(bells->second));
    KVP_CHECK(mapped.ok() && bell.ok());
    (*session)->ring.emplace(*std::move(region), std::move(bells->first), RingSide::kDaemon);
    engines_.emplace_back(*std::move(mapped), *std::move(bell), RingSide::kEngine);
  }

  void Send(uint32_t engine, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      const uint8_t bytes[4] = {static_cast<uint8_t>(engine), static_cast<uint8_t>(i)};
      KVP_CHECK(engines_[engine].Send(bytes).ok());
    }
  }

  // Of one turn: how many messages each session gave; ZeroMQ is session kEngines.
  std::map<uint32_t, size_t> Turn() {
    std::map<uint32_t, size_t> counts;
    intake_->Collect();
    while (const Letter* letter = intake_->Next()) {
      EXPECT_TRUE(letter->broken.ok()) << letter->broken;
      const uint32_t index = letter->ring == nullptr ? kEngines : letter->ring->index;
      EXPECT_TRUE(letter->ring == nullptr || letter->message.bytes.at(0) == index);
      ++counts[index];
    }
    return counts;
  }

  std::string directory_;
  SessionTable sessions_{kEngines};
  std::unique_ptr<ZmqServer> zmq_;
  std::optional<Intake> intake_;
  std::vector<RingPort> engines_;  // Their ends.
};

TEST_F(IntakeTest, WhoSendsWithoutEndGetsItsShareAndNoMore) {
  Send(3, 1000);
  Send(5, 3);
  const std::map<uint32_t, size_t> counts = Turn();
  EXPECT_EQ(counts.at(3), Intake::kRingMessagesPerSession);
  EXPECT_EQ(counts.at(5), 3u);
  EXPECT_TRUE(intake_->has_input());  // The loop does not sleep on the rest.
  EXPECT_FALSE(intake_->Sleep(0));
  intake_->Awake();
  EXPECT_EQ(Turn().at(3), Intake::kRingMessagesPerSession);
}

TEST_F(IntakeTest, WhenEverybodySendsEverybodyHasATurn) {
  for (uint32_t i = 0; i < kEngines; ++i) Send(i, 100);
  std::map<uint32_t, size_t> counts;
  for (uint32_t turn = 0; turn < 3; ++turn) {
    size_t taken = 0;
    for (const auto& [session, count] : Turn()) {
      counts[session] += count;
      taken += count;
    }
    EXPECT_EQ(taken, Intake::kRingMessagesPerTurn);
  }
  // Three turns of 64 are two rounds of twelve times eight.
  for (uint32_t i = 0; i < kEngines; ++i) EXPECT_EQ(counts[i], 16u) << "session " << i;
}

TEST_F(IntakeTest, ZeroMqIsHeardWhileRingsAreFull) {
  auto client = ZmqClient::Connect({.endpoint = zmq_->endpoint()});
  ASSERT_TRUE(client.ok()) << client.status();
  const uint8_t bytes[2] = {1, 2};
  ASSERT_TRUE((*client)->Send(bytes, Deadline::AfterUs(30'000'000)).ok());
  while (!zmq_->has_input()) {
  }
  for (uint32_t i = 0; i < kEngines; ++i) Send(i, 100);
  EXPECT_EQ(Turn().at(kEngines), 1u);
}

TEST_F(IntakeTest, AMessageThatComesBeforeTheLoopSleepsKeepsItAwakeAndLaterOnesRing) {
  EXPECT_TRUE(intake_->Sleep(0));
  Send(2, 1);
  EXPECT_EQ(engines_[2].bells_rung(), 1u);
  intake_->Awake();
  EXPECT_FALSE(intake_->Sleep(0));
  EXPECT_FALSE(intake_->Sleep(1'000'000));  // Seen at the first look.
  intake_->Awake();
  EXPECT_EQ(Turn().at(2), 1u);
  EXPECT_TRUE(intake_->Sleep(1000));
}

TEST_F(IntakeTest, RingsOfWhoIsCutOffAreNotRead) {
  Send(1, 5);
  sessions_.Silence(sessions_.at(1), Session::State::kCutOff);
  EXPECT_FALSE(intake_->has_input());
  EXPECT_TRUE(Turn().empty());
  EXPECT_TRUE(intake_->Sleep(0));
}

TEST_F(IntakeTest, GarbageIsReportedBehindTheMessagesBeforeIt) {
  Send(4, 2);
  auto region = ShmRegion::Map("ring", UniqueFd(dup(sessions_.at(4).ring->region_fd())),
                               kRingRegionBytes, Access::kReadWrite);
  ASSERT_TRUE(region.ok()) << region.status();
  auto& controls = *reinterpret_cast<RingControls*>(region->data());
  const uint64_t tail = controls.requests.tail.load();
  const RingRecord forged = {.bytes = 77, .flags = 5, .number = 2};
  std::memcpy(region->data() + kRingDataOffset + tail, &forged, sizeof(forged));
  controls.requests.tail.store(tail + 128);
  intake_->Collect();
  for (int i = 0; i < 2; ++i) {
    const Letter* letter = intake_->Next();
    ASSERT_NE(letter, nullptr);
    EXPECT_TRUE(letter->broken.ok());
  }
  const Letter* letter = intake_->Next();
  ASSERT_NE(letter, nullptr);
  EXPECT_EQ(letter->ring, &sessions_.at(4));
  EXPECT_TRUE(absl::IsInvalidArgument(letter->broken)) << letter->broken;
  EXPECT_EQ(intake_->Next(), nullptr);
}

}  // namespace
}  // namespace kvpager
