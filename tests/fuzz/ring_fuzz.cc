// tests/fuzz/ring_fuzz.cc
//
// What the other process can do to either end of a ring: store anything into any index, flag and
// byte of the shared memory, between any two calls. Nothing crashes, nothing outside the ring is
// read or written, every message is within its bounds, no call runs for long, and a ring that
// nobody has tampered with hands over exactly what was sent.
//
// The input is a script (ipc/ring_layout.h has the memory that it is about):
//
//   0 n n        write a message of n bytes, or go on with the one before
//   1            read until nothing whole is there
//   2 v x 8      store the tail
//   3 v x 8      store the head
//   4 n          move the tail on by n places
//   5 n n v x 8  store 8 bytes into the data at place n
//   6            the consumer sleeps, and looks up again
//   7            the producer waits for room
//
// and anything else modulo 8. The ring is small, so that it wraps often.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "ipc/ring_consumer.h"
#include "ipc/ring_layout.h"
#include "ipc/ring_producer.h"
#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr size_t kBytes = 512;
constexpr size_t kMessageMax = 2000;  // Longer than the ring.

class Script {
 public:
  explicit Script(absl::Span<const uint8_t> input) : input_(input) {}

  bool ended() const { return at_ == input_.size(); }

  uint64_t Take(size_t bytes) {
    uint64_t value = 0;
    const size_t there = std::min(bytes, input_.size() - at_);
    if (there > 0) std::memcpy(&value, input_.data() + at_, there);
    at_ += there;
    return value;
  }

 private:
  absl::Span<const uint8_t> input_;
  size_t at_ = 0;
};

// The memory is on the heap, to the byte, so that the address sanitizer sees every step beside it.
class Ring {
 public:
  Ring() : data_(kBytes), producer_(Memory()), consumer_(Memory()) {}

  void Run(Script script) {
    while (!script.ended()) Do(script);
    Read();
  }

 private:
  RingMemory Memory() { return {control_.get(), absl::MakeSpan(data_)}; }

  void Do(Script& script) {
    switch (script.Take(1) % 8) {
      case 0:
        return Write(script.Take(2) % kMessageMax);
      case 1:
        return Read();
      case 2:
        is_honest_ = false;
        return control_->tail.store(script.Take(8));
      case 3:
        is_honest_ = false;
        return control_->head.store(script.Take(8));
      case 4:
        is_honest_ = false;
        return control_->tail.store(control_->tail.load() + script.Take(1) * kRingAlignment);
      case 5: {
        is_honest_ = false;
        const size_t place = script.Take(2) % (kBytes / kRingAlignment) * kRingAlignment;
        const uint64_t value = script.Take(8);
        std::memcpy(data_.data() + place, &value, sizeof(value));
        return;
      }
      case 6:
        return Sleep();
      default:
        if (begin_ < message_.size()) producer_.WaitForRoom(message_, begin_);
    }
  }

  void Write(size_t bytes) {
    if (begin_ == message_.size()) {
      message_.resize(bytes + 1);
      for (size_t i = 0; i <= bytes; ++i) message_[i] = static_cast<uint8_t>(++newest_ * 31 + i);
      begin_ = 0;
    }
    const absl::StatusOr<size_t> end = producer_.Write(message_, begin_);
    KVP_CHECK(end.ok() || !is_honest_);
    if (!end.ok()) return;
    KVP_CHECK(*end >= begin_ && *end <= message_.size());
    begin_ = *end;
    if (begin_ == message_.size()) sent_.push_back(message_);
    producer_.TakeBell();
  }

  // Reads what is there: fewer messages than the ring has places.
  void Read() {
    for (size_t i = 0; i <= kBytes / kRingAlignment; ++i) {
      MessageBytes bytes;
      const absl::StatusOr<bool> got = ReadOne(bytes);
      KVP_CHECK(got.ok() || !is_honest_);
      KVP_CHECK(got.ok() || absl::IsInvalidArgument(got.status()));
      KVP_CHECK(!was_broken_ || !got.ok());
      was_broken_ = !got.ok();
      consumer_.TakeBell();
      if (!got.ok() || !*got) break;
      KVP_CHECK(!bytes.empty() && bytes.size() <= kMessageBytesMax);
      if (is_honest_) ExpectSent(bytes);
    }
    if (is_honest_) KVP_CHECK(sent_.empty() && !consumer_.has_input());
  }

  // The consumer goes on from where it was, and never past what the producer says is there.
  absl::StatusOr<bool> ReadOne(MessageBytes& bytes) {
    const uint64_t tail = control_->tail.load();
    const uint64_t head_before = control_->head.load();
    absl::StatusOr<bool> got = consumer_.Read(bytes);
    const uint64_t head = control_->head.load();
    if (head == head_before) return got;  // It has stored none.
    KVP_CHECK(head - head_ <= tail - head_ && head % kRingAlignment == 0);
    head_ = head;
    return got;
  }

  void ExpectSent(const MessageBytes& bytes) {
    KVP_CHECK(!sent_.empty());
    KVP_CHECK(bytes == sent_.front());
    sent_.pop_front();
  }

  void Sleep() {
    const bool sleeps = consumer_.Sleep();
    KVP_CHECK(sleeps == (control_->consumer_sleeps.load() != 0));
    if (is_honest_ && sleeps) KVP_CHECK(sent_.empty());
    consumer_.Awake();
  }

  std::unique_ptr<RingControl> control_ = std::make_unique<RingControl>();
  std::vector<uint8_t> data_;
  RingProducer producer_;
  RingConsumer consumer_;
  MessageBytes message_;
  size_t begin_ = 0;
  uint8_t newest_ = 0;
  uint64_t head_ = 0;              // Of the consumer, as it last said.
  std::deque<MessageBytes> sent_;  // While nobody has tampered.
  bool is_honest_ = true;
  bool was_broken_ = false;
};

}  // namespace
}  // namespace kvpager

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  kvpager::Ring().Run(kvpager::Script({data, bytes}));
  return 0;
}
