#include "memmgr/daemon/request_decoder.h"

#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/wire.h"
#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

// As engine_plugin/kvpager.h numbers them.
constexpr uint32_t kResidencyStreamed = 1;
constexpr uint32_t kResidencySplit = 2;

absl::StatusOr<SequenceId> SequenceFrom(uint64_t value) {
  const SequenceId sequence{value};
  if (value == 0 || sequence.is_none()) {
    return absl::InvalidArgumentError(
        "this is not a sequence; pass one that open or fork returned");
  }
  return sequence;
}

Digest256 DigestOf(const wire::Key& key) {
  const uint64_t words[4] = {key.word0(), key.word1(), key.word2(), key.word3()};
  Digest256 digest;
  for (size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<uint8_t>(words[i / 8] >> (8 * (i % 8)));  // Little-endian.
  }
  return digest;
}

bool IsNone(const wire::Key& key) {
  return (key.word0() | key.word1() | key.word2() | key.word3()) == 0;
}

// Nearer (kHbm, kHost) for a prefetch, farther (kHost, kNvme) for an eviction.
absl::StatusOr<Tier> TierFrom(uint32_t value, Tier first, const char* allowed) {
  const uint32_t low = static_cast<uint32_t>(first);
  if (value != low && value != low + 1) return absl::InvalidArgumentError(allowed);
  return static_cast<Tier>(value);
}

}  // namespace

bool IsAdminQuery(MessageType type) {
  return type == MessageType::kStatus || type == MessageType::kSequences ||
         type == MessageType::kClients || type == MessageType::kRevoke;
}

RequestDecoder::RequestDecoder(const DecodeBounds& bounds) : bounds_(bounds) {
  keys_.reserve(bounds.keys_max);
  entries_.reserve(bounds.step_entries_max);
}

absl::Status RequestDecoder::DecodeKeys(const Keys* keys, const Requester& requester) {
  keys_.clear();
  const uint32_t count = CountOf(keys);
  if (count > bounds_.keys_max) {
    return absl::InvalidArgumentError(absl::StrCat(count, " keys in one request; at most ",
                                                   bounds_.keys_max, " are allowed: split it"));
  }
  for (uint32_t i = 0; i < count; ++i) {
    const wire::Key& key = *keys->Get(i);
    if (IsNone(key)) {
      return absl::InvalidArgumentError(
          absl::StrCat("key ", i, " is all zero, which means no key; leave it out"));
    }
    keys_.push_back(requester.keys->Derive(DigestOf(key)));
  }
  return absl::OkStatus();
}

absl::Status RequestDecoder::DecodeEntries(const wire::StepBeginRequest& body) {
  entries_.clear();
  const uint32_t count = CountOf(body.entries());
  if (count > bounds_.step_entries_max) {
    return absl::InvalidArgumentError(absl::StrCat("a step of ", count, " sequences; at most ",
                                                   bounds_.step_entries_max, " are allowed"));
  }
  for (uint32_t i = 0; i < count; ++i) {
    const wire::StepEntry& entry = *body.entries()->Get(i);
    KVP_ASSIGN_OR_RETURN(const SequenceId sequence, SequenceFrom(entry.sequence()));
    entries_.push_back({.sequence = sequence,
                        .append_tokens = entry.append_tokens(),
                        .range = {.group_first = entry.group_first(),
                                  .group_count = entry.group_count(),
                                  .block_first = entry.block_first(),
                                  .block_count = entry.block_count()},
                        .draft = entry.draft(),
                        .rewrite_from_tokens = entry.rewrite_from_tokens()});
  }
  return absl::OkStatus();
}

absl::Status RequestDecoder::DecodeStep(const MessageView& message, Command& command) {
  switch (message.type()) {
    case MessageType::kStepBegin: {
      const auto& body = message.body<wire::StepBeginRequest>();
      if (body.residency() == kResidencyStreamed) {
        return absl::UnimplementedError(
            "streamed steps are not in this version; name ranges of groups and blocks instead");
      }
      KVP_RETURN_IF_ERROR(DecodeEntries(body));
      command.body =
          StepBeginCommand{.ticket = TicketOf(body.ticket()),
                           .residency = body.residency() == kResidencySplit ? Residency::kSplit
                                                                            : Residency::kResident,
                           .entries = entries_};
      return absl::OkStatus();
    }
    case MessageType::kStepEnd:
      command.body = StepEndCommand{TicketOf(message.body<wire::StepEndRequest>().ticket())};
      return absl::OkStatus();
    case MessageType::kStepCancel:
      command.body = StepCancelCommand{TicketOf(message.body<wire::StepCancelRequest>().ticket())};
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(
          absl::StrCat(std::string(MessageTypeName(message.type())), " is not a request"));
  }
}

absl::Status RequestDecoder::DecodeEngine(const MessageView& message, const Requester& requester,
                                          Command& command) {
  switch (message.type()) {
    case MessageType::kOpen:
      KVP_RETURN_IF_ERROR(DecodeKeys(message.body<wire::OpenRequest>().keys(), requester));
      command.body = OpenCommand{keys_};
      return absl::OkStatus();
    case MessageType::kExtend: {
      const auto& body = message.body<wire::ExtendRequest>();
      KVP_ASSIGN_OR_RETURN(const SequenceId sequence, SequenceFrom(body.sequence()));
      KVP_RETURN_IF_ERROR(DecodeKeys(body.keys(), requester));
      command.body = ExtendCommand{sequence, keys_};
      return absl::OkStatus();
    }
    case MessageType::kFork: {
      const auto& body = message.body<wire::ForkRequest>();
      KVP_ASSIGN_OR_RETURN(const SequenceId parent, SequenceFrom(body.parent()));
      command.body = ForkCommand{parent, TicketOf(body.ticket())};
      return absl::OkStatus();
    }
    case MessageType::kTruncate: {
      const auto& body = message.body<wire::TruncateRequest>();
      KVP_ASSIGN_OR_RETURN(const SequenceId sequence, SequenceFrom(body.sequence()));
      command.body =
          TruncateCommand{sequence, body.tokens(), body.accept(), TicketOf(body.ticket())};
      return absl::OkStatus();
    }
    case MessageType::kName: {
      const auto& body = message.body<wire::NameRequest>();
      KVP_ASSIGN_OR_RETURN(const SequenceId sequence, SequenceFrom(body.sequence()));
      KVP_RETURN_IF_ERROR(DecodeKeys(body.keys(), requester));
      command.body =
          NameCommand{sequence, body.block_first(), keys_, body.durable(), TicketOf(body.ticket())};
      return absl::OkStatus();
    }
    case MessageType::kSuspend: {
      const auto& body = message.body<wire::SuspendRequest>();
      KVP_ASSIGN_OR_RETURN(const SequenceId sequence, SequenceFrom(body.sequence()));
      command.body = SuspendCommand{sequence, TicketOf(body.ticket())};
      return absl::OkStatus();
    }
    case MessageType::kAppended: {
      const auto& body = message.body<wire::AppendedRequest>();
      KVP_ASSIGN_OR_RETURN(const SequenceId sequence, SequenceFrom(body.sequence()));
      command.body =
          AppendedCommand{sequence, body.length_tokens(), body.tokens(), body.written_tokens()};
      return absl::OkStatus();
    }
    case MessageType::kResume: {
      KVP_ASSIGN_OR_RETURN(const SequenceId sequence,
                           SequenceFrom(message.body<wire::ResumeRequest>().sequence()));
      command.body = ResumeCommand{sequence};
      return absl::OkStatus();
    }
    case MessageType::kClose: {
      const auto& body = message.body<wire::CloseRequest>();
      KVP_ASSIGN_OR_RETURN(const SequenceId sequence, SequenceFrom(body.sequence()));
      command.body = CloseCommand{sequence, TicketOf(body.ticket())};
      return absl::OkStatus();
    }
    default:
      return DecodeStep(message, command);
  }
}

absl::Status RequestDecoder::DecodePrefetch(const wire::PrefetchRequest& body,
                                            const Requester& requester, Instant now,
                                            Command& command) {
  const bool by_keys = CountOf(body.keys()) > 0;
  if (by_keys && body.sequence() != 0) {
    return absl::InvalidArgumentError("prefetch names a sequence or keys, not both");
  }
  PrefetchCommand prefetch{.priority = body.priority()};
  KVP_ASSIGN_OR_RETURN(prefetch.tier,
                       TierFrom(body.tier(), Tier::kHbm, "prefetch goes to hbm (0) or host (1)"));
  if (by_keys && requester.keys == nullptr) {
    return absl::PermissionDeniedError("an administrator has no namespace; name a sequence");
  }
  if (by_keys) {
    KVP_RETURN_IF_ERROR(DecodeKeys(body.keys(), requester));
    prefetch.keys = keys_;
  } else {
    KVP_ASSIGN_OR_RETURN(prefetch.sequence, SequenceFrom(body.sequence()));
  }
  constexpr uint64_t kNever = ~uint64_t{0};
  const bool bounded = body.deadline_us() != 0 && body.deadline_us() < (kNever - now.ns) / 1000;
  prefetch.deadline = Instant{bounded ? now.ns + body.deadline_us() * 1000 : kNever};
  command.body = prefetch;
  return absl::OkStatus();
}

absl::StatusOr<Command> RequestDecoder::Decode(const MessageView& message,
                                               const Requester& requester, Instant now) {
  KVP_CHECK(!IsAdminQuery(message.type()));
  Command command{.client = requester.client, .request = message.header().request, .body = {}};
  if (message.type() == MessageType::kPrefetch) {
    KVP_RETURN_IF_ERROR(
        DecodePrefetch(message.body<wire::PrefetchRequest>(), requester, now, command));
    return command;
  }
  if (message.type() == MessageType::kEvict) {
    const auto& body = message.body<wire::EvictRequest>();
    KVP_ASSIGN_OR_RETURN(const SequenceId sequence, SequenceFrom(body.sequence()));
    KVP_ASSIGN_OR_RETURN(const Tier tier,
                         TierFrom(body.tier(), Tier::kHost, "evict goes to host (1) or nvme (2)"));
    command.body = EvictCommand{sequence, tier};
    return command;
  }
  if (requester.keys == nullptr) {
    return absl::PermissionDeniedError("an administrator may look, prefetch and evict only");
  }
  KVP_RETURN_IF_ERROR(DecodeEngine(message, requester, command));
  return command;
}

}  // namespace kvpager
