#include "ipc/wire_values.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "ipc/attach.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

constexpr uint32_t kTiers = kTierCount;
constexpr uint32_t kResidencies = 3;  // Resident, streamed, split: numbers of the C ABI.
constexpr uint32_t kDtypes = 4;       // memmgr/base/geometry.h.
constexpr uint32_t kLayouts = 2;
constexpr uint32_t kGenerationsMax = 1024;
constexpr uint32_t kStatusCodes = 17;  // absl::StatusCode.

absl::Status Bad(const char* field, uint64_t value, const char* allowed) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, "; allowed: ", allowed));
}

absl::Status Missing(const char* field) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is missing"));
}

template <typename T>
absl::Status CheckCount(const char* field, const flatbuffers::Vector<T>* items, uint32_t max) {
  if (CountOf(items) <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, " has ", CountOf(items), " elements, more than ", max, "; split the request"));
}

// A list of structs. The verifier looks at the alignment of the list's length only, which is four
// bytes; a reader takes the elements for what their type says.
template <typename T>
absl::Status CheckStructs(const char* field, const flatbuffers::Vector<const T*>* items,
                          uint32_t max) {
  KVP_RETURN_IF_ERROR(CheckCount(field, items, max));
  if (CountOf(items) == 0 || reinterpret_cast<uintptr_t>(items->Data()) % alignof(T) == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(field, " is not aligned"));
}

absl::Status CheckTicket(const wire::Ticket* ticket) {
  if (ticket == nullptr || ticket->lane() < kLanesPerClientMax) return absl::OkStatus();
  return Bad("ticket.lane", ticket->lane(), "0 to 7");
}

// The ticket of a step, which must name one.
absl::Status CheckStepTicket(const wire::Ticket* ticket) {
  if (ticket == nullptr) return Missing("ticket");
  if (ticket->number() == 0) return Bad("ticket.number", 0, "1 and more");
  return CheckTicket(ticket);
}

absl::Status CheckBytes(const char* field, const flatbuffers::String* text, uint32_t max) {
  const size_t bytes = StringOf(text).size();
  if (bytes <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " has ", bytes, " bytes, more than ", max));
}

// A name that people will read on a terminal.
absl::Status CheckName(const char* field, const flatbuffers::String* text, uint32_t max) {
  KVP_RETURN_IF_ERROR(CheckBytes(field, text, max));
  for (const char c : StringOf(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, " contains a control character; use printable text"));
    }
  }
  return absl::OkStatus();
}

// The names in one reply. Many rows may lead to one name, so their bytes are counted together.
class ReplyNames {
 public:
  absl::Status Check(const char* field, const flatbuffers::String* text,
                     uint32_t max = kNameBytesMax) {
    KVP_RETURN_IF_ERROR(CheckBytes(field, text, max));
    const auto bytes = static_cast<uint32_t>(StringOf(text).size());
    if (bytes > bytes_left_) {
      return absl::InvalidArgumentError(absl::StrCat("the names in one reply have more than ",
                                                     kReplyNameBytesMax, " bytes together"));
    }
    bytes_left_ -= bytes;
    return CheckName(field, text, max);
  }

 private:
  uint32_t bytes_left_ = kReplyNameBytesMax;
};

// `runs_left` is shared by all updates of one answer.
absl::Status CheckUpdate(const wire::SequenceUpdate& update, uint32_t& runs_left) {
  const uint32_t count = CountOf(update.runs());
  if (count > runs_left) return Bad("runs of all updates", count, "131072 together");
  runs_left -= count;
  uint64_t position = update.block_position();
  for (uint32_t i = 0; i < count; ++i) {
    const wire::BlockRun& run = *update.runs()->Get(i);
    if (run.generation() >= kGenerationsMax) {
      return Bad("run.generation", run.generation(), "0 to 1023");
    }
    if (run.count() == 0) return Bad("run.count", 0, "1 and more");
    if (uint64_t{run.block_first()} + run.count() > BlockIndex::kNone) {
      return Bad("run.count", run.count(), "an end below 2^32 - 1");
    }
    position += run.count();
  }
  if (position > BlockIndex::kNone) return Bad("block_position", position, "an end below 2^32 - 1");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckValues(const wire::OpenRequest& body, const WireBounds& bounds) {
  return CheckStructs("keys", body.keys(), bounds.keys_max);
}

absl::Status CheckValues(const wire::ExtendRequest& body, const WireBounds& bounds) {
  return CheckStructs("keys", body.keys(), bounds.keys_max);
}

absl::Status CheckValues(const wire::ForkRequest& body, const WireBounds&) {
  return CheckTicket(body.ticket());
}

absl::Status CheckValues(const wire::TruncateRequest& body, const WireBounds&) {
  return CheckTicket(body.ticket());
}

absl::Status CheckValues(const wire::NameRequest& body, const WireBounds& bounds) {
  KVP_RETURN_IF_ERROR(CheckTicket(body.ticket()));
  KVP_RETURN_IF_ERROR(CheckStructs("keys", body.keys(), bounds.keys_max));
  if (uint64_t{body.block_first()} + CountOf(body.keys()) > BlockIndex::kNone) {
    return Bad("block_first", body.block_first(), "an end below 2^32 - 1");
  }
  return absl::OkStatus();
}

absl::Status CheckValues(const wire::AppendedRequest&, const WireBounds&) {
  return absl::OkStatus();
}

absl::Status CheckValues(const wire::SuspendRequest& body, const WireBounds&) {
  return CheckTicket(body.ticket());
}

absl::Status CheckValues(const wire::ResumeRequest&, const WireBounds&) { return absl::OkStatus(); }

absl::Status CheckValues(const wire::CloseRequest& body, const WireBounds&) {
  return CheckTicket(body.ticket());
}

absl::Status CheckValues(const wire::StepBeginRequest& body, const WireBounds& bounds) {
  KVP_RETURN_IF_ERROR(CheckStepTicket(body.ticket()));
  if (body.residency() >= kResidencies) return Bad("residency", body.residency(), "0 to 2");
  if (CountOf(body.entries()) == 0) return Missing("entries");
  return CheckStructs("entries", body.entries(), bounds.step_entries_max);
}

absl::Status CheckValues(const wire::StepEndRequest& body, const WireBounds&) {
  return CheckStepTicket(body.ticket());
}

absl::Status CheckValues(const wire::StepCancelRequest& body, const WireBounds&) {
  return CheckStepTicket(body.ticket());
}

absl::Status CheckValues(const wire::PrefetchRequest& body, const WireBounds& bounds) {
  if (body.tier() >= kTiers) return Bad("tier", body.tier(), "0 to 2");
  return CheckStructs("keys", body.keys(), bounds.keys_max);
}

absl::Status CheckValues(const wire::EvictRequest& body, const WireBounds&) {
  return body.tier() < kTiers ? absl::OkStatus() : Bad("tier", body.tier(), "0 to 2");
}

absl::Status CheckValues(const wire::StatusRequest&, const WireBounds&) { return absl::OkStatus(); }

absl::Status CheckValues(const wire::SequencesRequest&, const WireBounds&) {
  return absl::OkStatus();
}

absl::Status CheckValues(const wire::ClientsRequest&, const WireBounds&) {
  return absl::OkStatus();
}

absl::Status CheckValues(const wire::RevokeRequest&, const WireBounds&) { return absl::OkStatus(); }

absl::Status CheckValues(const wire::Answer& body, const WireBounds&) {
  if (body.status() >= kStatusCodes) return Bad("status", body.status(), "0 to 16");
  KVP_RETURN_IF_ERROR(CheckBytes("reason", body.reason(), kReasonBytesMax));
  KVP_RETURN_IF_ERROR(CheckTicket(body.ticket()));
  KVP_RETURN_IF_ERROR(CheckCount("updates", body.updates(), kReplyItemsMax));
  uint32_t runs_left = kReplyRunsMax;
  for (uint32_t i = 0; i < CountOf(body.updates()); ++i) {
    KVP_RETURN_IF_ERROR(CheckUpdate(*body.updates()->Get(i), runs_left));
  }
  return absl::OkStatus();
}

absl::Status CheckValues(const wire::StatusReply& body, const WireBounds&) {
  ReplyNames names;
  KVP_RETURN_IF_ERROR(names.Check("version", body.version()));
  KVP_RETURN_IF_ERROR(names.Check("pool", body.pool()));
  KVP_RETURN_IF_ERROR(names.Check("geometry", body.geometry()));
  KVP_RETURN_IF_ERROR(names.Check("model", body.model(), kModelBytesMax));
  KVP_RETURN_IF_ERROR(CheckCount("tiers", body.tiers(), kReplyItemsMax));
  for (uint32_t i = 0; i < CountOf(body.tiers()); ++i) {
    const wire::TierStatus& tier = *body.tiers()->Get(i);
    KVP_RETURN_IF_ERROR(names.Check("tier.name", tier.name()));
    KVP_RETURN_IF_ERROR(names.Check("tier.detail", tier.detail(), kDetailBytesMax));
  }
  KVP_RETURN_IF_ERROR(CheckCount("counters", body.counters(), kReplyItemsMax));
  for (uint32_t i = 0; i < CountOf(body.counters()); ++i) {
    KVP_RETURN_IF_ERROR(names.Check("counter.name", body.counters()->Get(i)->name()));
  }
  return absl::OkStatus();
}

absl::Status CheckValues(const wire::SequencesReply& body, const WireBounds&) {
  ReplyNames names;
  KVP_RETURN_IF_ERROR(CheckCount("sequences", body.sequences(), kReplyItemsMax));
  for (uint32_t i = 0; i < CountOf(body.sequences()); ++i) {
    KVP_RETURN_IF_ERROR(names.Check("namespace", body.sequences()->Get(i)->name_space()));
  }
  return absl::OkStatus();
}

absl::Status CheckValues(const wire::ClientsReply& body, const WireBounds&) {
  ReplyNames names;
  KVP_RETURN_IF_ERROR(CheckCount("clients", body.clients(), kReplyItemsMax));
  for (uint32_t i = 0; i < CountOf(body.clients()); ++i) {
    KVP_RETURN_IF_ERROR(names.Check("name", body.clients()->Get(i)->name()));
    KVP_RETURN_IF_ERROR(names.Check("namespace", body.clients()->Get(i)->name_space()));
    KVP_RETURN_IF_ERROR(names.Check("state", body.clients()->Get(i)->state()));
  }
  return absl::OkStatus();
}

absl::Status CheckValues(const wire::AttachRequest& body, const WireBounds&) {
  KVP_RETURN_IF_ERROR(CheckName("pool", body.pool(), kNameBytesMax));
  KVP_RETURN_IF_ERROR(CheckName("model", body.model(), kModelBytesMax));
  KVP_RETURN_IF_ERROR(CheckName("namespace", body.name_space(), kNameBytesMax));
  KVP_RETURN_IF_ERROR(CheckBytes("token", body.token(), kTokenBytesMax));
  KVP_RETURN_IF_ERROR(CheckName("engine_name", body.engine_name(), kNameBytesMax));
  if (body.admin()) return absl::OkStatus();
  if (StringOf(body.pool()).empty()) return Missing("pool");
  if (body.geometry() == nullptr) return Missing("geometry");
  const wire::PoolGeometry& geometry = *body.geometry();
  if (geometry.dtype() >= kDtypes) return Bad("geometry.dtype", geometry.dtype(), "0 to 3");
  if (geometry.layout() >= kLayouts) return Bad("geometry.layout", geometry.layout(), "0 to 1");
  return absl::OkStatus();
}

absl::Status CheckValues(const wire::AttachReply& body, const WireBounds&) {
  if (body.status() >= kStatusCodes) return Bad("status", body.status(), "0 to 16");
  KVP_RETURN_IF_ERROR(CheckBytes("reason", body.reason(), kReasonBytesMax));
  KVP_RETURN_IF_ERROR(CheckName("endpoint", body.endpoint(), kReasonBytesMax));
  KVP_RETURN_IF_ERROR(CheckCount("regions", body.regions(), kRegionsMax));
  for (uint32_t i = 0; i < CountOf(body.regions()); ++i) {
    KVP_RETURN_IF_ERROR(CheckName("region.name", body.regions()->Get(i)->name(), kNameBytesMax));
  }
  return absl::OkStatus();
}

}  // namespace kvpager
