// tests/ipc/wire_test.cc
//
// Proves that what is encoded is what is decoded, and that each kind of bad message is refused with
// the code and the sentence that docs/PROTOCOL.md promises.

#include "ipc/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

#include "ipc/wire_values.h"
#include "tests/ipc/wire_corpus.h"

namespace kvpager {
namespace {

using flatbuffers::FlatBufferBuilder;
using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

template <typename Number>
MessageBytes Patched(MessageBytes bytes, size_t offset, Number number) {
  std::memcpy(bytes.data() + offset, &number, sizeof(number));
  return bytes;
}

template <typename Table>
absl::Status Verdict(FlatBufferBuilder& builder, flatbuffers::Offset<Table> root,
                     const WireBounds& bounds = {}) {
  MessageBytes bytes;
  const absl::Status encoded = EncodeMessage(1, SessionToken{}, builder, root, bytes);
  return encoded.ok() ? DecodeMessage(bytes, bounds).status() : encoded;
}

TEST(Wire, EveryTypeHasANameAndAMessageInTheCorpus) {
  std::set<MessageType> types;
  for (const MessageBytes& bytes : WireCorpus()) {
    const absl::StatusOr<MessageView> view = DecodeMessage(bytes);
    ASSERT_TRUE(view.ok()) << view.status();
    types.insert(view->type());
    EXPECT_NE(MessageTypeName(view->type()), "unknown");
  }
  EXPECT_EQ(types.size(), 24u);
  EXPECT_EQ(MessageTypeName(MessageType{99}), "unknown");
}

TEST(Wire, TheHeaderIsTheBytesThatTheProtocolDocumentLists) {
  const MessageBytes bytes = MakeOpen(0);
  EXPECT_EQ(std::memcmp(bytes.data(), "KVPW", 4), 0);
  const uint8_t expected[] = {1, 0, 0, 0, 1, 0, 0, 0};  // Version 1.0, type 1, flags 0.
  EXPECT_EQ(std::memcmp(bytes.data() + 4, expected, sizeof(expected)), 0);
  uint32_t body_bytes = 0;
  std::memcpy(&body_bytes, bytes.data() + 12, 4);
  EXPECT_EQ(body_bytes, bytes.size() - 40);
  EXPECT_EQ(bytes[16], 7);
  EXPECT_EQ(bytes[24], 1);
  EXPECT_EQ(bytes[32], 2);
}

TEST(Wire, AStepBeginComesBackAsItWasSent) {
  const MessageBytes bytes = MakeStepBegin(1024);
  const absl::StatusOr<MessageView> view = DecodeMessage(bytes);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->header().request, 7u);
  EXPECT_EQ(view->header().session, (SessionToken{{1, 2}}));
  const auto& body = view->body<wire::StepBeginRequest>();
  EXPECT_EQ(TicketOf(body.ticket()), (Ticket{3, 9}));
  ASSERT_EQ(body.entries()->size(), 1024u);
  EXPECT_EQ(body.entries()->Get(1023)->sequence(), 1024u);
  EXPECT_EQ(body.entries()->Get(0)->rewrite_from_tokens(), ~uint64_t{0});
}

TEST(Wire, AbsentFieldsReadAsNothing) {
  FlatBufferBuilder builder;
  MessageBytes bytes;
  ASSERT_TRUE(
      EncodeMessage(1, SessionToken{}, builder, wire::CreateCloseRequest(builder, 5), bytes).ok());
  const absl::StatusOr<MessageView> view = DecodeMessage(bytes);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(TicketOf(view->body<wire::CloseRequest>().ticket()), Ticket{});
  EXPECT_EQ(StringOf(nullptr), "");
}

TEST(Wire, AWrongMagicIsRefused) {
  const absl::Status status = DecodeMessage(Patched(MakeOpen(1), 0, uint32_t{1})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), HasSubstr("magic"));
}

TEST(Wire, AnotherMajorVersionIsRefusedWithTheVersionsOfBothSides) {
  const absl::Status status = DecodeMessage(Patched(MakeOpen(1), 4, uint16_t{2})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(Message(status), HasSubstr("wire version 2.0; this side speaks 1.0 to 1.x"));
}

TEST(Wire, ANewerMinorVersionIsAccepted) {
  EXPECT_TRUE(DecodeMessage(Patched(MakeOpen(1), 6, uint16_t{9})).ok());
}

TEST(Wire, AnUnknownTypeIsUnimplementedAndItsHeaderCanStillBeAnswered) {
  const MessageBytes bytes = Patched(MakeOpen(1), 8, uint16_t{50});
  EXPECT_EQ(DecodeMessage(bytes).status().code(), absl::StatusCode::kUnimplemented);
  const absl::StatusOr<MessageHeader> header = DecodeHeader(bytes);
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->request, 7u);
}

TEST(Wire, FlagsThatThisVersionDoesNotKnowAreRefused) {
  EXPECT_EQ(DecodeMessage(Patched(MakeOpen(1), 10, uint16_t{1})).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Wire, ABodyThatIsCutOrLongerThanItsHeaderSaysIsRefused) {
  MessageBytes cut = MakeOpen(4);
  cut.resize(cut.size() - 8);
  EXPECT_THAT(Message(DecodeMessage(cut).status()), HasSubstr("promises a body"));
  MessageBytes longer = MakeOpen(4);
  longer.resize(longer.size() + 8);
  EXPECT_THAT(Message(DecodeMessage(longer).status()), HasSubstr("promises a body"));
  const auto body_bytes = static_cast<uint32_t>(cut.size() - kWireHeaderBytes);
  EXPECT_THAT(Message(DecodeMessage(Patched(cut, 12, body_bytes)).status()),
              HasSubstr("not a valid FlatBuffer"));
}

TEST(Wire, AMessageBeyondOneMebibyteIsNeitherEncodedNorDecoded) {
  FlatBufferBuilder builder;
  const std::string text(kMessageBytesMax, 'x');
  const auto root = wire::CreateAnswer(builder, 0, builder.CreateString(text));
  EXPECT_THAT(Message(Verdict(builder, root)), HasSubstr("longer than 1048576"));
  MessageBytes bytes = MakeOpen(1);
  bytes.resize(kMessageBytesMax + 8);
  const auto body_bytes = static_cast<uint32_t>(bytes.size() - kWireHeaderBytes);
  EXPECT_THAT(Message(DecodeMessage(Patched(bytes, 12, body_bytes)).status()),
              HasSubstr("longer than 1048576"));
}

TEST(Wire, ListsBeyondTheBoundsAreRefused) {
  const WireBounds bounds = {.keys_max = 256, .step_entries_max = 1024};
  EXPECT_TRUE(DecodeMessage(MakeOpen(256), bounds).ok());
  EXPECT_THAT(Message(DecodeMessage(MakeOpen(257), bounds).status()),
              HasSubstr("keys has 257 elements, more than 256"));
  EXPECT_TRUE(DecodeMessage(MakeStepBegin(1024), bounds).ok());
  EXPECT_THAT(Message(DecodeMessage(MakeStepBegin(1025), bounds).status()),
              HasSubstr("entries has 1025 elements"));
  EXPECT_THAT(Message(DecodeMessage(MakeStepBegin(0), bounds).status()),
              HasSubstr("entries is missing"));
}

TEST(Wire, TicketsOfStepsMustBeThereAndInRange) {
  const wire::Ticket none(0, 0);
  const wire::Ticket lane_too_high(8, 1);
  FlatBufferBuilder a, b, c, d;
  EXPECT_THAT(Message(Verdict(a, wire::CreateStepEndRequest(a))), HasSubstr("ticket is missing"));
  EXPECT_THAT(Message(Verdict(b, wire::CreateStepEndRequest(b, &none))),
              HasSubstr("ticket.number is 0"));
  EXPECT_THAT(Message(Verdict(c, wire::CreateStepCancelRequest(c, &lane_too_high))),
              HasSubstr("ticket.lane is 8"));
  EXPECT_THAT(Message(Verdict(d, wire::CreateForkRequest(d, 1, &lane_too_high))),
              HasSubstr("ticket.lane is 8"));
}

TEST(Wire, NumbersOutsideTheirEnumerationAreRefused) {
  FlatBufferBuilder a, b, c;
  EXPECT_THAT(Message(Verdict(a, wire::CreateEvictRequest(a, 1, 3))), HasSubstr("tier is 3"));
  EXPECT_THAT(Message(Verdict(b, wire::CreateAnswer(b, 17))), HasSubstr("status is 17"));
  const wire::Ticket ticket(0, 1);
  const std::vector<wire::StepEntry> entries(1);
  EXPECT_THAT(Message(Verdict(c, wire::CreateStepBeginRequest(c, &ticket, 3,
                                                              c.CreateVectorOfStructs(entries)))),
              HasSubstr("residency is 3"));
}

absl::Status VerdictOnRun(const wire::BlockRun& run) {
  FlatBufferBuilder b;
  const auto list = b.CreateVectorOfStructs(std::vector<wire::BlockRun>{run});
  const std::vector<flatbuffers::Offset<wire::SequenceUpdate>> updates = {
      wire::CreateSequenceUpdate(b, 1, 16, 0, list)};
  const auto update_list = b.CreateVector(updates);
  return Verdict(b, wire::CreateAnswer(b, 0, 0, 0, 0, 0, 0, 0, nullptr, nullptr, update_list));
}

TEST(Wire, RunsThatCannotBeAreRefused) {
  EXPECT_TRUE(VerdictOnRun({0, 1, 1023}).ok());
  EXPECT_THAT(Message(VerdictOnRun({0, 1, 1024})), HasSubstr("run.generation is 1024"));
  EXPECT_THAT(Message(VerdictOnRun({0, 0, 1})), HasSubstr("run.count is 0"));
  EXPECT_THAT(Message(VerdictOnRun({0xfffffff0, 0x20, 1})), HasSubstr("run.count"));
}

// 16,000 updates that all lead to one list of 10,000 runs: 160 million runs in 200 KB.
TEST(Wire, ListsThatAreSharedManyTimesAreCountedManyTimes) {
  FlatBufferBuilder b;
  const auto runs = b.CreateVectorOfStructs(std::vector<wire::BlockRun>(10'000, {0, 1, 1}));
  const auto update = wire::CreateSequenceUpdate(b, 1, 16, 0, runs);
  const auto list =
      b.CreateVector(std::vector<flatbuffers::Offset<wire::SequenceUpdate>>(16'000, update));
  EXPECT_THAT(
      Message(Verdict(b, wire::CreateAnswer(b, 0, 0, 0, 0, 0, 0, 0, nullptr, nullptr, list))),
      HasSubstr("runs of all updates"));
}

absl::Status VerdictOnClient(const std::string& name) {
  FlatBufferBuilder b;
  const auto row = wire::CreateClientStatus(b, 0, 1, 2, b.CreateString(name));
  return Verdict(b, wire::CreateClientsReply(b, b.CreateVector(&row, 1)));
}

TEST(Wire, NamesInRepliesAreAsInRequests) {
  EXPECT_TRUE(VerdictOnClient(std::string(255, 'x')).ok());
  EXPECT_THAT(Message(VerdictOnClient(std::string(256, 'x'))),
              HasSubstr("name has 256 bytes, more than 255"));
  EXPECT_THAT(Message(VerdictOnClient("a\x1b[2J")), HasSubstr("name contains a control character"));
  FlatBufferBuilder a, b, c, d;
  const auto sequence = wire::CreateSequenceStatus(a, 1, 2, a.CreateString("\n"));
  EXPECT_THAT(Message(Verdict(a, wire::CreateSequencesReply(a, a.CreateVector(&sequence, 1)))),
              HasSubstr("namespace contains a control character"));
  EXPECT_THAT(Message(Verdict(b, wire::CreateStatusReply(b, 0, 1, 2, b.CreateString("\r")))),
              HasSubstr("pool contains a control character"));
  const auto counter = wire::CreateCounter(c, c.CreateString(std::string(256, 'x')), 1);
  const auto counters = c.CreateVector(&counter, 1);
  EXPECT_THAT(
      Message(Verdict(c, wire::CreateStatusReply(c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, counters))),
      HasSubstr("counter.name has 256 bytes"));
  const auto tier = wire::CreateTierStatus(d, 0, 1, 2, 3, 4, 5, 6, d.CreateString("\x7f"));
  const auto tiers = d.CreateVector(&tier, 1);
  EXPECT_THAT(Message(Verdict(d, wire::CreateStatusReply(d, 0, 0, 0, 0, 0, 0, 0, 0, 0, tiers))),
              HasSubstr("tier.detail contains a control character"));
}

// 16,000 rows that all lead to one name of 255 bytes: 4 MB of names in 65 KB.
TEST(Wire, NamesThatAreSharedManyTimesAreCountedManyTimes) {
  FlatBufferBuilder b;
  const auto row = wire::CreateClientStatus(b, 0, 1, 2, b.CreateString(std::string(255, 'x')));
  const auto rows =
      b.CreateVector(std::vector<flatbuffers::Offset<wire::ClientStatus>>(16'000, row));
  EXPECT_THAT(Message(Verdict(b, wire::CreateClientsReply(b, rows))),
              HasSubstr("more than 1048576 bytes together"));
}

// The verifier lets this pass: a vector of structs whose elements start at an odd multiple of 4.
TEST(Wire, AListOfStructsThatIsNotAlignedIsRefused) {
  MessageBytes bytes = MakeOpen(2);
  const absl::StatusOr<MessageView> view = DecodeMessage(bytes);
  ASSERT_TRUE(view.ok());
  const auto* const keys = view->body<wire::OpenRequest>().keys();
  // Moves the list four bytes on, behind everything else, and lets its offset lead there.
  const auto* const list = reinterpret_cast<const uint8_t*>(keys);
  const auto at = static_cast<size_t>(list - bytes.data());
  const size_t list_bytes = 4 + 2 * sizeof(wire::Key);
  const size_t moved_at = bytes.size() + (bytes.size() % 8 == 0 ? 0 : 4);
  bytes.resize(moved_at + list_bytes);
  std::memcpy(bytes.data() + moved_at, bytes.data() + at, list_bytes);
  bool found = false;
  for (size_t offset = kWireHeaderBytes; offset + 4 <= at && !found; offset += 4) {
    uint32_t distance = 0;
    std::memcpy(&distance, bytes.data() + offset, 4);
    found = offset + distance == at;
    if (found) bytes = Patched(bytes, offset, static_cast<uint32_t>(moved_at - offset));
  }
  ASSERT_TRUE(found);
  const auto body_bytes = static_cast<uint32_t>(bytes.size() - kWireHeaderBytes);
  EXPECT_THAT(Message(DecodeMessage(Patched(bytes, 12, body_bytes)).status()),
              HasSubstr("keys is not aligned"));
}

TEST(Wire, AStatusTravelsAsItsCodeAndItsReason) {
  const absl::Status status = StatusOf(8, "no room");
  EXPECT_EQ(status, absl::ResourceExhaustedError("no room"));
  EXPECT_TRUE(StatusOf(0, "").ok());
}

TEST(WireDeathTest, ReadingABodyAsAnotherTableStopsTheProcess) {
  const MessageBytes bytes = MakeOpen(1);
  const absl::StatusOr<MessageView> view = DecodeMessage(bytes);
  ASSERT_TRUE(view.ok());
  EXPECT_DEATH(view->body<wire::CloseRequest>(), "check failed");
}

}  // namespace
}  // namespace kvpager
