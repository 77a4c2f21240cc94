// ipc/wire.h
//
// What a message is, byte for byte, and the only way to read one that came from outside.
//
//   offset  size  field          little-endian
//        0     4  magic          "KVPW"
//        4     2  version major
//        6     2  version minor
//        8     2  type           MessageType
//       10     2  flags          0
//       12     4  body bytes     what follows the header, exactly
//       16     8  request        echoed by the answer; 0: no answer wanted, or a notice
//       24    16  session token  none on the unix socket
//       40        body           a FlatBuffers table of ipc/wire.fbs, by type
//
// DecodeMessage reads nothing it has not verified: header, type, sizes, then the FlatBuffers
// verifier, then every value that has a range (ipc/wire_values.h). It never crashes, whatever the
// input. What is absent although a reader needs it (the ticket of a step) is an error there, so a
// reader meets null only where docs/PROTOCOL.md says "optional"; TicketOf and StringOf read those.
//
// Ownership: a MessageView points into the bytes it was made from. Bytes to decode start at an
// address that is a multiple of 8, as those of a MessageBytes do (REQUIRES). Thread-safety: values.
// Errors: kInvalidArgument malformed; kUnimplemented another version, or a type that this version
// does not know.

#ifndef KVPAGER_IPC_WIRE_H_
#define KVPAGER_IPC_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ipc/session_token.h"
#include "ipc/wire_generated.h"
#include "ipc/wire_version.h"
#include "memmgr/base/check.h"
#include "memmgr/base/ids.h"

namespace kvpager {

inline constexpr uint32_t kWireMagic = 0x5750564b;  // "KVPW" in memory.
inline constexpr size_t kWireHeaderBytes = 40;
inline constexpr size_t kMessageBytesMax = size_t{1} << 20;  // Header included.

using MessageBytes = std::vector<uint8_t>;

// Do not renumber.
enum class MessageType : uint16_t {
  kOpen = 1,
  kExtend = 2,
  kFork = 3,
  kTruncate = 4,
  kName = 5,
  kSuspend = 6,
  kResume = 7,
  kClose = 8,
  kStepBegin = 9,
  kStepEnd = 10,
  kStepCancel = 11,
  kPrefetch = 12,
  kEvict = 13,
  kAppended = 14,
  kRevoke = 15,
  kStatus = 32,
  kSequences = 33,
  kClients = 34,
  kAnswer = 64,
  kStatusReply = 65,
  kSequencesReply = 66,
  kClientsReply = 67,
  kAttachRequest = 96,
  kAttachReply = 97,
};

// "Open", "StepBegin", ...; "unknown" for a number without a name.
std::string_view MessageTypeName(MessageType type);

// Which table is the body of which type.
template <typename Table>
inline constexpr MessageType kMessageTypeOf = MessageType{0};
#define KVP_WIRE_TYPE(Table, type) \
  template <>                      \
  inline constexpr MessageType kMessageTypeOf<wire::Table> = MessageType::type
KVP_WIRE_TYPE(OpenRequest, kOpen);
KVP_WIRE_TYPE(ExtendRequest, kExtend);
KVP_WIRE_TYPE(ForkRequest, kFork);
KVP_WIRE_TYPE(TruncateRequest, kTruncate);
KVP_WIRE_TYPE(NameRequest, kName);
KVP_WIRE_TYPE(SuspendRequest, kSuspend);
KVP_WIRE_TYPE(ResumeRequest, kResume);
KVP_WIRE_TYPE(CloseRequest, kClose);
KVP_WIRE_TYPE(StepBeginRequest, kStepBegin);
KVP_WIRE_TYPE(StepEndRequest, kStepEnd);
KVP_WIRE_TYPE(StepCancelRequest, kStepCancel);
KVP_WIRE_TYPE(PrefetchRequest, kPrefetch);
KVP_WIRE_TYPE(EvictRequest, kEvict);
KVP_WIRE_TYPE(AppendedRequest, kAppended);
KVP_WIRE_TYPE(StatusRequest, kStatus);
KVP_WIRE_TYPE(SequencesRequest, kSequences);
KVP_WIRE_TYPE(ClientsRequest, kClients);
KVP_WIRE_TYPE(RevokeRequest, kRevoke);
KVP_WIRE_TYPE(Answer, kAnswer);
KVP_WIRE_TYPE(StatusReply, kStatusReply);
KVP_WIRE_TYPE(SequencesReply, kSequencesReply);
KVP_WIRE_TYPE(ClientsReply, kClientsReply);
KVP_WIRE_TYPE(AttachRequest, kAttachRequest);
KVP_WIRE_TYPE(AttachReply, kAttachReply);
#undef KVP_WIRE_TYPE

struct MessageHeader {
  uint16_t version_major = kWireMajor;
  uint16_t version_minor = kWireMinor;
  MessageType type = MessageType{0};
  uint32_t body_bytes = 0;
  uint64_t request = 0;
  SessionToken session;
};

// How long lists may be. The defaults are what the protocol allows at all; a daemon may pass less.
struct WireBounds {
  uint32_t keys_max = 4096;
  uint32_t step_entries_max = 4096;
};

// A verified message.
class MessageView {
 public:
  const MessageHeader& header() const { return header_; }
  MessageType type() const { return header_.type; }

  // The body. REQUIRES: type() is that of `Table`.
  template <typename Table>
  const Table& body() const {
    KVP_CHECK(type() == kMessageTypeOf<Table>);
    return *flatbuffers::GetRoot<Table>(body_);
  }

 private:
  friend absl::StatusOr<MessageView> DecodeMessage(absl::Span<const uint8_t> bytes,
                                                   const WireBounds& bounds);
  MessageHeader header_;
  const uint8_t* body_ = nullptr;
};

// The header alone: so that a message with a bad body can still be answered. Checks magic, version,
// flags and sizes, not the type.
absl::StatusOr<MessageHeader> DecodeHeader(absl::Span<const uint8_t> bytes);

absl::StatusOr<MessageView> DecodeMessage(absl::Span<const uint8_t> bytes,
                                          const WireBounds& bounds = {});

// Puts the header and the finished table of `builder` into `message`, replacing its contents.
// kInvalidArgument if that is more than kMessageBytesMax.
absl::Status EncodeMessage(MessageType type, uint64_t request, const SessionToken& session,
                           const flatbuffers::FlatBufferBuilder& builder, MessageBytes& message);

// Finishes `root` in `builder`, then as above.
template <typename Table>
absl::Status EncodeMessage(uint64_t request, const SessionToken& session,
                           flatbuffers::FlatBufferBuilder& builder, flatbuffers::Offset<Table> root,
                           MessageBytes& message) {
  static_assert(kMessageTypeOf<Table> != MessageType{0}, "not the root of a message");
  builder.Finish(root);
  return EncodeMessage(kMessageTypeOf<Table>, request, session, builder, message);
}

// ---- Reading optional fields --------------------------------------------------------------------

// Ticket {0, 0}, which has always passed, where there is none.
inline Ticket TicketOf(const wire::Ticket* ticket) {
  return ticket == nullptr ? Ticket{} : Ticket{ticket->lane(), ticket->number()};
}
inline wire::Ticket ToWire(const Ticket& ticket) { return {ticket.lane, ticket.number}; }

// Empty where there is none. The bytes belong to the message.
inline std::string_view StringOf(const flatbuffers::String* text) {
  return text == nullptr ? std::string_view() : std::string_view(text->c_str(), text->size());
}

// The number of elements; 0 where there is no vector.
template <typename T>
uint32_t CountOf(const flatbuffers::Vector<T>* items) {
  return items == nullptr ? 0 : items->size();
}

// The status that an answer carries: `code` is a canonical code, as DecodeMessage has checked.
absl::Status StatusOf(uint32_t code, std::string_view reason);

}  // namespace kvpager

#endif  // KVPAGER_IPC_WIRE_H_
