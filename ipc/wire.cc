#include "ipc/wire.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "ipc/wire_values.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

static_assert(std::endian::native == std::endian::little, "headers are copied as they are");

// The header as it lies in memory: no padding, so it is copied whole.
struct RawHeader {
  uint32_t magic;
  uint16_t version_major;
  uint16_t version_minor;
  uint16_t type;
  uint16_t flags;
  uint32_t body_bytes;
  uint64_t request;
  uint64_t session[2];
};
static_assert(sizeof(RawHeader) == kWireHeaderBytes);
static_assert(kWireHeaderBytes % 8 == 0, "bodies start at a multiple of 8, as FlatBuffers want");

constexpr uint32_t kTableDepthMax = 8;
constexpr uint32_t kTablesMax = 4 * kReplyItemsMax;

template <typename Table>
absl::Status CheckBody(absl::Span<const uint8_t> body, const WireBounds& bounds) {
  flatbuffers::Verifier verifier(body.data(), body.size(), kTableDepthMax, kTablesMax);
  if (!verifier.VerifyBuffer<Table>(nullptr)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body of ", std::string(MessageTypeName(kMessageTypeOf<Table>)), " (",
                     body.size(), " bytes) is not a valid FlatBuffer of its table"));
  }
  return CheckValues(*flatbuffers::GetRoot<Table>(body.data()), bounds);
}

struct BodyCheck {
  MessageType type;
  const char* name;
  absl::Status (*check)(absl::Span<const uint8_t> body, const WireBounds& bounds);
};

#define KVP_BODY(Table, name) \
  { kMessageTypeOf<wire::Table>, name, &CheckBody<wire::Table> }
constexpr BodyCheck kBodyChecks[] = {
    KVP_BODY(OpenRequest, "Open"),
    KVP_BODY(ExtendRequest, "Extend"),
    KVP_BODY(ForkRequest, "Fork"),
    KVP_BODY(TruncateRequest, "Truncate"),
    KVP_BODY(NameRequest, "Name"),
    KVP_BODY(SuspendRequest, "Suspend"),
    KVP_BODY(ResumeRequest, "Resume"),
    KVP_BODY(CloseRequest, "Close"),
    KVP_BODY(StepBeginRequest, "StepBegin"),
    KVP_BODY(StepEndRequest, "StepEnd"),
    KVP_BODY(StepCancelRequest, "StepCancel"),
    KVP_BODY(PrefetchRequest, "Prefetch"),
    KVP_BODY(EvictRequest, "Evict"),
    KVP_BODY(AppendedRequest, "Appended"),
    KVP_BODY(StatusRequest, "Status"),
    KVP_BODY(SequencesRequest, "Sequences"),
    KVP_BODY(ClientsRequest, "Clients"),
    KVP_BODY(RevokeRequest, "Revoke"),
    KVP_BODY(Answer, "Answer"),
    KVP_BODY(StatusReply, "StatusReply"),
    KVP_BODY(SequencesReply, "SequencesReply"),
    KVP_BODY(ClientsReply, "ClientsReply"),
    KVP_BODY(AttachRequest, "AttachRequest"),
    KVP_BODY(AttachReply, "AttachReply"),
};
#undef KVP_BODY

const BodyCheck* FindBodyCheck(MessageType type) {
  for (const BodyCheck& entry : kBodyChecks) {
    if (entry.type == type) return &entry;
  }
  return nullptr;
}

}  // namespace

std::string_view MessageTypeName(MessageType type) {
  const BodyCheck* entry = FindBodyCheck(type);
  return entry == nullptr ? "unknown" : entry->name;
}

absl::StatusOr<MessageHeader> DecodeHeader(absl::Span<const uint8_t> bytes) {
  if (bytes.size() < kWireHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a message of ", bytes.size(), " bytes is shorter than its header of ", kWireHeaderBytes));
  }
  RawHeader raw;
  std::memcpy(&raw, bytes.data(), sizeof(raw));
  if (raw.magic != kWireMagic) {
    return absl::InvalidArgumentError("not a kvpager message: the magic is wrong");
  }
  if (raw.version_major != kWireMajor) {
    return absl::UnimplementedError(
        absl::StrCat("the peer speaks wire version ", raw.version_major, ".", raw.version_minor,
                     "; this side speaks ", kWireVersionsSupported,
                     "; use a libkvpager and a kvpagerd of the same major version"));
  }
  if (raw.flags != 0) {
    return absl::InvalidArgumentError(absl::StrCat("flags are ", raw.flags, ", not 0"));
  }
  if (bytes.size() > kMessageBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", bytes.size(), " bytes is longer than ", kMessageBytesMax));
  }
  if (raw.body_bytes != bytes.size() - kWireHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the header promises a body of ", raw.body_bytes,
                                                   " bytes; there are ",
                                                   bytes.size() - kWireHeaderBytes));
  }
  return MessageHeader{.version_major = raw.version_major,
                       .version_minor = raw.version_minor,
                       .type = static_cast<MessageType>(raw.type),
                       .body_bytes = raw.body_bytes,
                       .request = raw.request,
                       .session = {{raw.session[0], raw.session[1]}}};
}

absl::StatusOr<MessageView> DecodeMessage(absl::Span<const uint8_t> bytes,
                                          const WireBounds& bounds) {
  KVP_CHECK(reinterpret_cast<uintptr_t>(bytes.data()) % 8 == 0);
  MessageView view;
  KVP_ASSIGN_OR_RETURN(view.header_, DecodeHeader(bytes));
  const BodyCheck* entry = FindBodyCheck(view.header_.type);
  if (entry == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("message type ", static_cast<uint16_t>(view.header_.type),
                     " is not known to wire version ", kWireMajor, ".", kWireMinor));
  }
  const absl::Span<const uint8_t> body = bytes.subspan(kWireHeaderBytes);
  KVP_RETURN_IF_ERROR(entry->check(body, bounds));
  view.body_ = body.data();
  return view;
}

absl::Status EncodeMessage(MessageType type, uint64_t request, const SessionToken& session,
                           const flatbuffers::FlatBufferBuilder& builder, MessageBytes& message) {
  const size_t body_bytes = builder.GetSize();
  if (body_bytes > kMessageBytesMax - kWireHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a ", std::string(MessageTypeName(type)), " message of ", body_bytes + kWireHeaderBytes,
        " bytes is longer than ", kMessageBytesMax, "; split it"));
  }
  const RawHeader raw = {.magic = kWireMagic,
                         .version_major = kWireMajor,
                         .version_minor = kWireMinor,
                         .type = static_cast<uint16_t>(type),
                         .flags = 0,
                         .body_bytes = static_cast<uint32_t>(body_bytes),
                         .request = request,
                         .session = {session.words[0], session.words[1]}};
  message.resize(kWireHeaderBytes + body_bytes);
  std::memcpy(message.data(), &raw, sizeof(raw));
  std::memcpy(message.data() + kWireHeaderBytes, builder.GetBufferPointer(), body_bytes);
  return absl::OkStatus();
}

absl::Status StatusOf(uint32_t code, std::string_view reason) {
  KVP_CHECK(code <= static_cast<uint32_t>(absl::StatusCode::kUnauthenticated));
  return absl::Status(static_cast<absl::StatusCode>(code),
                      absl::string_view(reason.data(), reason.size()));
}

}  // namespace kvpager
