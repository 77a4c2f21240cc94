// That a verified message becomes the right Command, and that what only the daemon can refuse, it
// refuses: lists that are too long, keys that are none, sequences that are none, and what
// administrators may not ask.

#include "memmgr/daemon/request_decoder.h"

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/wire.h"

namespace kvpager {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSequence = uint64_t{3} << 32 | 5;

class RequestDecoderTest : public ::testing::Test {
 protected:
  // Encodes `request`, verifies it as the server does, and decodes it.
  template <typename Table>
  absl::StatusOr<Command> Decode(flatbuffers::Offset<Table> request) {
    return DecodeAs(request, {.client = ClientId{4}, .keys = &keys_});
  }

  template <typename Table>
  absl::StatusOr<Command> DecodeAs(flatbuffers::Offset<Table> request, const Requester& requester) {
    const absl::Status encoded = EncodeMessage<Table>(9, {}, builder_, request, message_);
    EXPECT_TRUE(encoded.ok()) << encoded;
    builder_.Clear();
    const absl::StatusOr<MessageView> view = DecodeMessage(message_);
    if (!view.ok()) return view.status();
    return decoder_.Decode(*view, requester, Instant{1'000'000});
  }

  static std::vector<wire::Key> Keys(uint32_t count) {
    std::vector<wire::Key> keys;
    for (uint32_t i = 0; i < count; ++i) keys.emplace_back(i + 1, 0, 0, 0);
    return keys;
  }

  flatbuffers::FlatBufferBuilder builder_;
  MessageBytes message_;
  KeyDeriver keys_{"secret", 1, "model"};
  RequestDecoder decoder_{{.keys_max = 4, .step_entries_max = 2}};
};

TEST_F(RequestDecoderTest, OpenDerivesItsKeys) {
  const auto keys = Keys(2);
  const auto command =
      Decode(wire::CreateOpenRequest(builder_, builder_.CreateVectorOfStructs(keys)));
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(command->client, ClientId{4});
  EXPECT_EQ(command->request, 9u);
  const auto& open = std::get<OpenCommand>(command->body);
  ASSERT_EQ(open.keys.size(), 2u);
  Digest256 digest{};
  digest[0] = 1;  // Words are little-endian, as the bytes of a kvp_block_key.
  EXPECT_EQ(open.keys[0], keys_.Derive(digest));
}

TEST_F(RequestDecoderTest, AtTheBoundOfKeysIsFineAndOneMoreIsNot) {
  const auto four = Keys(4);
  EXPECT_TRUE(Decode(wire::CreateOpenRequest(builder_, builder_.CreateVectorOfStructs(four))).ok());
  const auto five = Keys(5);
  const auto command =
      Decode(wire::CreateOpenRequest(builder_, builder_.CreateVectorOfStructs(five)));
  EXPECT_EQ(command.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(command.status().message()), HasSubstr("at most 4"));
}

TEST_F(RequestDecoderTest, AKeyOfZerosIsNoKey) {
  const std::vector<wire::Key> keys = {wire::Key(1, 0, 0, 0), wire::Key(0, 0, 0, 0)};
  const auto command = Decode(wire::CreateNameRequest(
      builder_, kSequence, 0, builder_.CreateVectorOfStructs(keys), false, nullptr));
  EXPECT_EQ(command.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(command.status().message()), HasSubstr("key 1"));
}

TEST_F(RequestDecoderTest, SequenceZeroAndAllOnesAreNone) {
  for (const uint64_t none : {uint64_t{0}, ~uint64_t{0}}) {
    EXPECT_EQ(Decode(wire::CreateResumeRequest(builder_, none)).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Decode(wire::CreateCloseRequest(builder_, none, nullptr)).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(RequestDecoderTest, AStepKeepsEveryFieldOfItsEntries) {
  const wire::Ticket ticket(2, 17);
  const std::vector<wire::StepEntry> entries = {
      wire::StepEntry(kSequence, 5, true, 1, 2, 3, 4, 99)};
  const auto command = Decode(
      wire::CreateStepBeginRequest(builder_, &ticket, 2, builder_.CreateVectorOfStructs(entries)));
  ASSERT_TRUE(command.ok()) << command.status();
  const auto& begin = std::get<StepBeginCommand>(command->body);
  EXPECT_EQ(begin.ticket, (Ticket{2, 17}));
  EXPECT_EQ(begin.residency, Residency::kSplit);
  ASSERT_EQ(begin.entries.size(), 1u);
  const StepEntry& entry = begin.entries[0];
  EXPECT_EQ(entry.sequence.value, kSequence);
  EXPECT_EQ(entry.append_tokens, 5u);
  EXPECT_TRUE(entry.draft);
  EXPECT_EQ(entry.range, (PageRange{1, 2, 3, 4}));
  EXPECT_EQ(entry.rewrite_from_tokens, 99u);
}

TEST_F(RequestDecoderTest, TooManyEntriesAndStreamedStepsAreRefused) {
  const wire::Ticket ticket(0, 1);
  const std::vector<wire::StepEntry> three(3, wire::StepEntry(kSequence, 0, false, 0, 1, 0, 1, 0));
  const auto many = Decode(
      wire::CreateStepBeginRequest(builder_, &ticket, 0, builder_.CreateVectorOfStructs(three)));
  EXPECT_EQ(many.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(many.status().message()), HasSubstr("at most 2"));
  const std::vector<wire::StepEntry> one(1, three[0]);
  const auto streamed = Decode(
      wire::CreateStepBeginRequest(builder_, &ticket, 1, builder_.CreateVectorOfStructs(one)));
  EXPECT_EQ(streamed.status().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(RequestDecoderTest, PrefetchNamesASequenceOrKeysAndGoesNearer) {
  const auto sequence =
      Decode(wire::CreatePrefetchRequest(builder_, kSequence, 0, 1, /*deadline_us=*/50, 3));
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  const auto& prefetch = std::get<PrefetchCommand>(sequence->body);
  EXPECT_EQ(prefetch.tier, Tier::kHost);
  EXPECT_EQ(prefetch.deadline.ns, 1'050'000u);
  EXPECT_EQ(prefetch.priority, 3u);
  const auto keys = Keys(1);
  EXPECT_TRUE(Decode(wire::CreatePrefetchRequest(builder_, 0, builder_.CreateVectorOfStructs(keys),
                                                 0, 0, 0))
                  .ok());
  EXPECT_FALSE(Decode(wire::CreatePrefetchRequest(builder_, kSequence,
                                                  builder_.CreateVectorOfStructs(keys), 0, 0, 0))
                   .ok());
  EXPECT_FALSE(Decode(wire::CreatePrefetchRequest(builder_, kSequence, 0, 2, 0, 0)).ok());
}

TEST_F(RequestDecoderTest, ADeadlineBeyondTimeIsNone) {
  for (const uint64_t deadline_us : {uint64_t{0}, ~uint64_t{0}, ~uint64_t{0} / 1000}) {
    const auto command =
        Decode(wire::CreatePrefetchRequest(builder_, kSequence, 0, 0, deadline_us, 0));
    ASSERT_TRUE(command.ok());
    EXPECT_EQ(std::get<PrefetchCommand>(command->body).deadline.ns, ~uint64_t{0}) << deadline_us;
  }
}

TEST_F(RequestDecoderTest, EvictGoesFartherOnly) {
  EXPECT_FALSE(Decode(wire::CreateEvictRequest(builder_, kSequence, 0)).ok());
  EXPECT_TRUE(Decode(wire::CreateEvictRequest(builder_, kSequence, 1)).ok());
  EXPECT_TRUE(Decode(wire::CreateEvictRequest(builder_, kSequence, 2)).ok());
}

TEST_F(RequestDecoderTest, AdministratorsMayPrefetchAndEvictSequencesOnly) {
  const Requester admin{};
  EXPECT_TRUE(DecodeAs(wire::CreateEvictRequest(builder_, kSequence, 1), admin).ok());
  EXPECT_TRUE(DecodeAs(wire::CreatePrefetchRequest(builder_, kSequence, 0, 0, 0, 0), admin).ok());
  const auto keys = Keys(1);
  EXPECT_EQ(DecodeAs(wire::CreatePrefetchRequest(builder_, 0, builder_.CreateVectorOfStructs(keys),
                                                 0, 0, 0),
                     admin)
                .status()
                .code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(DecodeAs(wire::CreateOpenRequest(builder_), admin).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(DecodeAs(wire::CreateCloseRequest(builder_, kSequence, nullptr), admin).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(RequestDecoderTest, AnAnswerIsNotARequest) {
  EXPECT_EQ(Decode(wire::CreateAnswer(builder_)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kvpager
