// tests/fuzz/wire_request_fuzz.cc
//
// Bytes of a hostile client, as the daemon takes them from ZeroMQ (Server::Understand): header,
// message, then the command that the core would be given, once for an engine and once for an
// administrator. Nothing crashes, and a command that comes out keeps what the core relies on.

#include <cstddef>
#include <cstdint>
#include <variant>

#include "ipc/wire.h"
#include "ipc/wire_values.h"
#include "memmgr/base/check.h"
#include "memmgr/daemon/keys.h"
#include "memmgr/daemon/request_decoder.h"
#include "tests/fuzz/message_mutator.h"
#include "tests/ipc/wire_corpus.h"

namespace kvpager {
namespace {

// Small, so that lists are found on both sides of them.
constexpr WireBounds kWireBounds = {.keys_max = 4, .step_entries_max = 4};
constexpr DecodeBounds kBounds = {.keys_max = 8, .step_entries_max = 8};
constexpr Instant kNow = {1'000'000};

uint64_t g_sum = 0;  // Keeps the reads from being optimised away.

void CheckSequence(SequenceId sequence) {
  KVP_CHECK(!sequence.is_none());
  KVP_CHECK(sequence.value != 0);
}

void CheckTicket(const Ticket& ticket) { KVP_CHECK_LT(ticket.lane, kLanesPerClientMax); }

void CheckStepTicket(const Ticket& ticket) {
  CheckTicket(ticket);
  KVP_CHECK(ticket.number != 0);
}

void CheckKeys(absl::Span<const BlockKey> keys) {
  KVP_CHECK_LE(keys.size(), kBounds.keys_max);
  for (const BlockKey& key : keys) KVP_CHECK(!key.is_none());
}

// What the core is promised of each command.
struct CommandCheck {
  bool admin = false;

  void operator()(const AttachCommand&) const { KVP_CHECK(false); }  // The daemon's own.
  void operator()(const GoneCommand&) const { KVP_CHECK(false); }
  void operator()(const RevokeCommand&) const { KVP_CHECK(false); }
  void operator()(const OpenCommand& body) const { CheckKeys(body.keys); }
  void operator()(const ExtendCommand& body) const {
    CheckSequence(body.sequence);
    CheckKeys(body.keys);
  }
  void operator()(const ForkCommand& body) const {
    CheckSequence(body.parent);
    CheckTicket(body.ticket);
  }
  void operator()(const TruncateCommand& body) const {
    CheckSequence(body.sequence);
    CheckTicket(body.ticket);
  }
  void operator()(const NameCommand& body) const {
    CheckSequence(body.sequence);
    CheckKeys(body.keys);
    CheckTicket(body.ticket);
    KVP_CHECK_LE(uint64_t{body.block_first} + body.keys.size(), BlockIndex::kNone);
  }
  void operator()(const SuspendCommand& body) const {
    CheckSequence(body.sequence);
    CheckTicket(body.ticket);
  }
  void operator()(const ResumeCommand& body) const { CheckSequence(body.sequence); }
  void operator()(const CloseCommand& body) const {
    CheckSequence(body.sequence);
    CheckTicket(body.ticket);
  }
  void operator()(const AppendedCommand& body) const {
    CheckSequence(body.sequence);
    g_sum += body.length_tokens + body.tokens;
  }
  void operator()(const UsedCommand&) const { KVP_CHECK(false); }  // The daemon's own.
  void operator()(const StepBeginCommand& body) const {
    CheckStepTicket(body.ticket);
    KVP_CHECK(!body.entries.empty());
    KVP_CHECK_LE(body.entries.size(), kBounds.step_entries_max);
    for (const StepEntry& entry : body.entries) {
      CheckSequence(entry.sequence);
      g_sum += entry.append_tokens + entry.draft + entry.rewrite_from_tokens;
    }
  }
  void operator()(const StepEndCommand& body) const { CheckStepTicket(body.ticket); }
  void operator()(const StepCancelCommand& body) const { CheckStepTicket(body.ticket); }
  void operator()(const PrefetchCommand& body) const {
    KVP_CHECK(body.tier == Tier::kHbm || body.tier == Tier::kHost);
    KVP_CHECK(body.sequence.is_none() != body.keys.empty());
    KVP_CHECK(!admin || body.keys.empty());
    KVP_CHECK(body.deadline > kNow);
    CheckKeys(body.keys);
  }
  void operator()(const EvictCommand& body) const {
    KVP_CHECK(body.tier == Tier::kHost || body.tier == Tier::kNvme);
    CheckSequence(body.sequence);
  }
};

bool IsForAdministrators(const Command& command) {
  return std::holds_alternative<PrefetchCommand>(command.body) ||
         std::holds_alternative<EvictCommand>(command.body);
}

void DecodeCommand(const MessageView& message, const Requester& requester) {
  static RequestDecoder* const decoder = new RequestDecoder(kBounds);
  const absl::StatusOr<Command> command = decoder->Decode(message, requester, kNow);
  if (!command.ok()) {
    KVP_CHECK(!command.status().message().empty());
    return;
  }
  const bool admin = requester.keys == nullptr;
  KVP_CHECK(message.type() < MessageType::kStatus);
  KVP_CHECK(!admin || IsForAdministrators(*command));
  KVP_CHECK(command->client == requester.client);
  KVP_CHECK(command->request == message.header().request);
  std::visit(CommandCheck{admin}, command->body);
}

// Both readers of one header must agree on it: the daemon looks up the session with one and reads
// the message with the other.
void CheckHeader(const MessageBytes& bytes, const absl::StatusOr<MessageView>& message) {
  const absl::StatusOr<MessageHeader> header = DecodeHeader(bytes);
  if (!header.ok()) {
    KVP_CHECK(message.status() == header.status());
    return;
  }
  KVP_CHECK_EQ(header->body_bytes, bytes.size() - kWireHeaderBytes);
  if (!message.ok()) return;
  KVP_CHECK(header->type == message->header().type);
  KVP_CHECK(header->request == message->header().request);
  KVP_CHECK(header->session == message->header().session);
}

// Narrower bounds let nothing pass that wider ones refuse.
void CheckBounds(const MessageBytes& bytes, const absl::StatusOr<MessageView>& message) {
  const absl::StatusOr<MessageView> bounded = DecodeMessage(bytes, kWireBounds);
  if (!bounded.ok()) return;
  KVP_CHECK(message.ok());
  g_sum += ReadEverything(*bounded, kWireBounds);
}

void Receive(const MessageBytes& bytes) {
  static const KeyDeriver* const keys = new KeyDeriver("secret", 1, "model");
  const absl::StatusOr<MessageView> message = DecodeMessage(bytes);
  CheckHeader(bytes, message);
  CheckBounds(bytes, message);
  if (!message.ok()) {
    KVP_CHECK(!message.status().message().empty());
    return;
  }
  g_sum += ReadEverything(*message, WireBounds{});
  if (IsAdminQuery(message->type())) return;
  DecodeCommand(*message, {.client = ClientId{4}, .keys = keys});
  DecodeCommand(*message, {});
}

}  // namespace
}  // namespace kvpager

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  kvpager::Receive(kvpager::MessageBytes(data, data + bytes));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t bytes, size_t bytes_max,
                                          unsigned int seed) {
  return kvpager::MutateMessage(data, bytes, bytes_max, 0, seed);
}
