// tests/ipc/ring_test.cc
//
// One direction of the ring: what is written comes out, whatever the sizes and wherever the data
// wraps; and whatever stands in the shared memory, the consumer reads nothing that is not there.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ipc/ring_consumer.h"
#include "ipc/ring_layout.h"
#include "ipc/ring_producer.h"

namespace kvpager {
namespace {

using testing::HasSubstr;

constexpr size_t kBytes = 256;
constexpr size_t kRecordMax = kBytes / 4;

MessageBytes Message(size_t bytes, uint8_t first) {
  MessageBytes message(bytes);
  for (size_t i = 0; i < bytes; ++i) message[i] = static_cast<uint8_t>(first + i * 7);
  return message;
}

class Ring : public testing::Test {
 protected:
  Ring() { Reset(); }

  void Reset() {
    control_ = std::make_unique<RingControl>();
    data_.assign(kBytes, 0xee);
    producer_ = std::make_unique<RingProducer>(Memory());
    consumer_ = std::make_unique<RingConsumer>(Memory());
  }

  RingMemory Memory() { return {control_.get(), absl::MakeSpan(data_)}; }

  // True: all of it fitted.
  bool Write(const MessageBytes& message) {
    const absl::StatusOr<size_t> end = producer_->Write(message, 0);
    EXPECT_TRUE(end.ok()) << end.status();
    return end.ok() && *end == message.size();
  }

  void ExpectRead(const MessageBytes& expected) {
    MessageBytes bytes;
    const absl::StatusOr<bool> got = consumer_->Read(bytes);
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_TRUE(*got);
    EXPECT_EQ(bytes, expected);
  }

  void ExpectNothing() {
    MessageBytes bytes;
    const absl::StatusOr<bool> got = consumer_->Read(bytes);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_FALSE(*got);
  }

  // What a hostile producer wrote: a record at `at`, and a tail.
  void Forge(uint64_t at, const RingRecord& record, uint64_t tail) {
    std::memcpy(data_.data() + at % kBytes, &record, sizeof(record));
    control_->tail.store(tail);
  }

  void ExpectGarbage(const std::string& words) {
    MessageBytes bytes;
    for (int again = 0; again < 2; ++again) {  // It stays broken, whatever is written later.
      const absl::StatusOr<bool> got = consumer_->Read(bytes);
      EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(got.status().message()), HasSubstr(words));
      control_->tail.store(0);
    }
  }

  std::unique_ptr<RingControl> control_;
  std::vector<uint8_t> data_;
  std::unique_ptr<RingProducer> producer_;
  std::unique_ptr<RingConsumer> consumer_;
};

TEST_F(Ring, HandsMessagesOverInOrder) {
  ExpectNothing();
  for (size_t bytes = 1; bytes <= 9; ++bytes) {
    ASSERT_TRUE(Write(Message(bytes, 1)));
    ASSERT_TRUE(Write(Message(bytes + 20, 2)));
    EXPECT_TRUE(consumer_->has_input());
    ExpectRead(Message(bytes, 1));
    ExpectRead(Message(bytes + 20, 2));
    EXPECT_FALSE(consumer_->has_input());
    ExpectNothing();
  }
}

TEST_F(Ring, WrapsAtEveryPlace) {
  for (size_t bytes = 1; bytes <= kRecordMax; ++bytes) {
    Reset();
    for (uint8_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(Write(Message(bytes, i)));
      ExpectRead(Message(bytes, i));
    }
  }
}

TEST_F(Ring, TakesMessagesUntilItIsFullAndGoesOnWhenThereIsRoom) {
  size_t written = 0;
  while (Write(Message(24, static_cast<uint8_t>(written)))) ++written;
  EXPECT_EQ(written, kBytes / RingRecordRoom(24));
  EXPECT_EQ(control_->tail.load(), kBytes);  // To the last byte.
  ExpectRead(Message(24, 0));
  EXPECT_TRUE(Write(Message(24, 99)));
  EXPECT_FALSE(Write(Message(1, 0)));
  for (size_t i = 1; i < written; ++i) ExpectRead(Message(24, static_cast<uint8_t>(i)));
  ExpectRead(Message(24, 99));
  ExpectNothing();
}

TEST_F(Ring, CutsAMessageThatIsLongerThanTheRing) {
  const MessageBytes message = Message(5 * kBytes + 3, 5);
  size_t begin = 0;
  int rounds = 0;
  while (begin < message.size()) {
    const absl::StatusOr<size_t> end = producer_->Write(message, begin);
    ASSERT_TRUE(end.ok()) << end.status();
    ASSERT_GT(*end, begin);
    begin = *end;
    if (begin < message.size()) ExpectNothing();
    ++rounds;
  }
  EXPECT_GT(rounds, 5);
  ExpectRead(message);
  ASSERT_TRUE(Write(Message(3, 6)));
  ExpectRead(Message(3, 6));
}

TEST_F(Ring, CarriesTheLongestMessageAndNoLongerOne) {
  for (const size_t extra : {0, 1}) {
    Reset();
    const MessageBytes message = Message(kMessageBytesMax + extra, 5);
    MessageBytes bytes;
    absl::StatusOr<bool> got = false;
    for (size_t begin = 0; begin < message.size() && got.ok();) {
      const absl::StatusOr<size_t> end = producer_->Write(message, begin);
      ASSERT_TRUE(end.ok()) << end.status();
      begin = *end;
      got = consumer_->Read(bytes);
    }
    if (extra == 0) {
      ASSERT_TRUE(got.ok() && *got) << got.status();
      EXPECT_EQ(bytes, message);
    } else {
      EXPECT_THAT(std::string(got.status().message()), HasSubstr("more than 1048576 bytes"));
    }
  }
}

TEST_F(Ring, CarriesAnyMixOfSizes) {
  std::mt19937_64 random(7);
  std::deque<MessageBytes> sent;
  MessageBytes unsent;
  size_t begin = 0;
  uint64_t messages = 0;
  while (messages < 20'000) {
    if (unsent.empty()) {
      unsent = Message(1 + random() % (random() % 50 == 0 ? 1000 : 90), random() % 256);
      begin = 0;
    }
    const absl::StatusOr<size_t> end = producer_->Write(unsent, begin);
    ASSERT_TRUE(end.ok()) << end.status();
    begin = *end;
    if (begin == unsent.size()) sent.push_back(std::exchange(unsent, {}));
    for (uint64_t i = random() % 4; i > 0; --i) {
      MessageBytes bytes;
      const absl::StatusOr<bool> got = consumer_->Read(bytes);
      ASSERT_TRUE(got.ok()) << got.status();
      if (!*got) break;
      ASSERT_FALSE(sent.empty());
      ASSERT_EQ(bytes, sent.front());
      sent.pop_front();
      ++messages;
    }
  }
}

TEST_F(Ring, LetsNoConsumerSleepWhileSomethingIsThere) {
  ASSERT_TRUE(Write(Message(8, 1)));
  EXPECT_FALSE(producer_->TakeBell());  // It is awake.
  EXPECT_FALSE(consumer_->Sleep());     // Something is there: it must not sleep.
  ExpectRead(Message(8, 1));
  EXPECT_TRUE(consumer_->Sleep());
  EXPECT_EQ(control_->consumer_sleeps.load(), 1u);
}

TEST_F(Ring, RingsForTheFirstMessageOfASleepOnly) {
  ASSERT_TRUE(consumer_->Sleep());
  ASSERT_TRUE(Write(Message(8, 1)));
  EXPECT_TRUE(producer_->TakeBell());
  ASSERT_TRUE(Write(Message(8, 2)));
  EXPECT_FALSE(producer_->TakeBell());
  consumer_->Awake();
  ExpectRead(Message(8, 1));
  ExpectRead(Message(8, 2));
  ASSERT_TRUE(consumer_->Sleep());
  consumer_->Awake();  // It looked up without a bell.
  ASSERT_TRUE(Write(Message(8, 3)));
  EXPECT_FALSE(producer_->TakeBell());
}

TEST_F(Ring, RingsForAProducerThatWaitsOnceHalfOfTheRoomIsThere) {
  while (Write(Message(24, 0))) {
  }
  const MessageBytes message = Message(24, 1);
  EXPECT_FALSE(consumer_->TakeBell());
  ASSERT_TRUE(producer_->WaitForRoom(message, 0));
  MessageBytes bytes;
  int reads = 0;
  do {
    ASSERT_TRUE(*consumer_->Read(bytes));
    ++reads;
  } while (!consumer_->TakeBell());
  EXPECT_EQ(reads, kBytes / 2 / RingRecordRoom(24));
  EXPECT_FALSE(consumer_->TakeBell());
  EXPECT_FALSE(producer_->WaitForRoom(message, 0));  // There is room.
  EXPECT_EQ(control_->producer_waits.load(), 0u);
  EXPECT_TRUE(Write(message));
}

// ---- Garbage ------------------------------------------------------------------------------------

TEST_F(Ring, RefusesATailThatIsNotWithinItsBytes) {
  for (const uint64_t tail : {uint64_t{kBytes + 8}, uint64_t{kBytes + 1}, ~uint64_t{0},
                              ~uint64_t{0} - 7, uint64_t{1} << 63, uint64_t{1} << 32}) {
    SCOPED_TRACE(tail);
    Reset();
    control_->tail.store(tail);
    EXPECT_TRUE(consumer_->has_input());
    ExpectGarbage("a tail that is not within its bytes");
  }
}

TEST_F(Ring, RefusesATailThatGoesBack) {
  ASSERT_TRUE(Write(Message(40, 1)));
  ExpectRead(Message(40, 1));
  control_->tail.store(8);
  ExpectGarbage("a tail that is not within its bytes");
}

TEST_F(Ring, RefusesATailBetweenPlaces) {
  for (const uint64_t tail : {1, 7, 9, 255}) {
    SCOPED_TRACE(tail);
    Reset();
    control_->tail.store(tail);
    ExpectGarbage("a tail that is no multiple of 8");
  }
}

TEST_F(Ring, RefusesARecordThatIsNone) {
  struct Case {
    RingRecord record;
    uint64_t tail;
    const char* words;
  };
  constexpr uint32_t kMax = kRecordMax;
  const Case cases[] = {
      {{.bytes = 0}, 64, "a record of 0 bytes"},
      {{.bytes = kMax + 1}, 128, "a record of 65 bytes"},
      {{.bytes = ~uint32_t{0}}, 128, "a record of 4294967295 bytes"},
      {{.bytes = ~uint32_t{0} - 7}, kBytes, "a record of 4294967288 bytes"},
      {{.bytes = 8, .flags = RingRecord::kGoesOn}, 64, "a record of 8 bytes"},
      {{.bytes = 8, .flags = 2}, 64, "a record with flags 2"},
      {{.bytes = 8, .flags = 0x8001}, 64, "a record with flags 32769"},
      {{.bytes = 8, .number = 1}, 64, "record 1 where 0 is due"},
      {{.bytes = 1}, 8, "ends behind the tail"},
      {{.bytes = 9}, 16, "ends behind the tail"},
      {{.bytes = kMax}, kMax, "ends behind the tail"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.words);
    Reset();
    Forge(0, each.record, each.tail);
    ExpectGarbage(each.words);
  }
}

TEST_F(Ring, RefusesAMessageWithoutAnEnd) {
  uint64_t tail = 0;
  MessageBytes bytes;
  absl::StatusOr<bool> got = false;
  uint64_t records = 0;
  for (; got.ok() && !*got; ++records) {
    const RingRecord record = {.bytes = kRecordMax,
                               .flags = RingRecord::kGoesOn,
                               .number = static_cast<uint16_t>(records)};
    const uint64_t at = tail;
    tail += RingRecordRoom(kRecordMax);
    Forge(at, record, tail);
    got = consumer_->Read(bytes);
  }
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("more than 1048576 bytes"));
  EXPECT_EQ(records, kMessageBytesMax / kRecordMax);
}

TEST_F(Ring, RefusesAHeadThatWasNeverWritten) {
  for (const uint64_t head : {uint64_t{kBytes + 8}, ~uint64_t{0}, uint64_t{4}, uint64_t{1} << 40}) {
    SCOPED_TRACE(head);
    Reset();
    while (Write(Message(24, 0))) {
    }
    control_->head.store(head);
    const MessageBytes message = Message(24, 1);
    EXPECT_EQ(producer_->Write(message, 0).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(producer_->WaitForRoom(message, 0));  // Nobody sleeps on it.
  }
}

TEST_F(Ring, RefusesAHeadThatGoesBack) {
  while (Write(Message(24, 0))) {
  }
  for (int i = 0; i < 3; ++i) ExpectRead(Message(24, 0));
  while (Write(Message(24, 0))) {
  }
  control_->head.store(0);
  EXPECT_EQ(producer_->Write(Message(24, 1), 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kvpager
