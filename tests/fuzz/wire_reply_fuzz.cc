// tests/fuzz/wire_reply_fuzz.cc
//
// Bytes of a hostile daemon, as clients take them from ZeroMQ: Exchange::Decode of libkvpager and
// Connection::Exchange of kvpagerctl. Nothing crashes, and every list, run and text of a reply that
// is accepted keeps the bounds of docs/PROTOCOL.md, "How a message is checked".

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ipc/wire.h"
#include "ipc/wire_values.h"
#include "memmgr/base/check.h"
#include "tests/fuzz/message_mutator.h"
#include "tests/ipc/wire_corpus.h"

namespace kvpager {
namespace {

uint64_t g_sum = 0;         // Keeps the reads from being optimised away.
uint64_t g_text_bytes = 0;  // Of the message at hand.

// Returns the text, all of which has been read.
std::string_view Read(const flatbuffers::String* text, uint32_t bytes_max) {
  const std::string_view bytes = StringOf(text);
  KVP_CHECK_LE(bytes.size(), bytes_max);
  g_text_bytes += bytes.size();
  KVP_CHECK_LE(g_text_bytes, kReplyNameBytesMax);
  for (const char c : bytes) g_sum += static_cast<unsigned char>(c);
  return bytes;
}

// A name that people will see on a terminal.
void ReadName(const flatbuffers::String* text, uint32_t bytes_max = kNameBytesMax) {
  for (const char c : Read(text, bytes_max)) {
    KVP_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }
}

void ReadUpdate(const wire::SequenceUpdate& update, uint64_t& runs) {
  runs += CountOf(update.runs());
  KVP_CHECK_LE(runs, kReplyRunsMax);
  uint64_t position = update.block_position();
  for (uint32_t i = 0; i < CountOf(update.runs()); ++i) {
    const wire::BlockRun& run = *update.runs()->Get(i);
    KVP_CHECK_LT(run.generation(), 1024u);
    KVP_CHECK(run.count() > 0);
    KVP_CHECK_LE(uint64_t{run.block_first()} + run.count(), BlockIndex::kNone);
    position += run.count();
  }
  KVP_CHECK_LE(position, BlockIndex::kNone);
  g_sum += update.sequence() + update.length_tokens();
}

void ReadAnswer(const wire::Answer& body) {
  const std::string_view reason = Read(body.reason(), kReasonBytesMax);
  const absl::Status status = StatusOf(body.status(), reason);
  KVP_CHECK_EQ(static_cast<uint32_t>(status.code()), body.status());
  KVP_CHECK_LT(TicketOf(body.ticket()).lane, kLanesPerClientMax);
  if (body.wait() != nullptr) g_sum += body.wait()->queue_ns() + body.wait()->promoted_nvme_pages();
  KVP_CHECK_LE(CountOf(body.updates()), kReplyItemsMax);
  uint64_t runs = 0;
  for (uint32_t i = 0; i < CountOf(body.updates()); ++i) ReadUpdate(*body.updates()->Get(i), runs);
}

void ReadStatus(const wire::StatusReply& body) {
  ReadName(body.version());
  ReadName(body.pool());
  ReadName(body.geometry());
  ReadName(body.model(), kModelBytesMax);
  KVP_CHECK_LE(CountOf(body.tiers()), kReplyItemsMax);
  KVP_CHECK_LE(CountOf(body.counters()), kReplyItemsMax);
  for (uint32_t i = 0; i < CountOf(body.tiers()); ++i) {
    const wire::TierStatus& tier = *body.tiers()->Get(i);
    ReadName(tier.name());
    ReadName(tier.detail(), kDetailBytesMax);
    g_sum += tier.frames() + tier.blocks() + tier.in_service();
  }
  for (uint32_t i = 0; i < CountOf(body.counters()); ++i) {
    ReadName(body.counters()->Get(i)->name());
    g_sum += body.counters()->Get(i)->value();
  }
}

void ReadSequences(const wire::SequencesReply& body) {
  KVP_CHECK_LE(CountOf(body.sequences()), kReplyItemsMax);
  for (uint32_t i = 0; i < CountOf(body.sequences()); ++i) {
    const wire::SequenceStatus& row = *body.sequences()->Get(i);
    ReadName(row.name_space());
    g_sum += row.sequence() + row.client() + row.pages_nvme() + row.suspended();
  }
  g_sum += body.slot_next() + body.more();
}

void ReadClients(const wire::ClientsReply& body) {
  KVP_CHECK_LE(CountOf(body.clients()), kReplyItemsMax);
  for (uint32_t i = 0; i < CountOf(body.clients()); ++i) {
    const wire::ClientStatus& row = *body.clients()->Get(i);
    ReadName(row.name());
    ReadName(row.name_space());
    g_sum += row.client() + row.pid() + row.attached_us();
  }
}

void Receive(const MessageBytes& bytes) {
  const absl::StatusOr<MessageView> message = DecodeMessage(bytes);
  if (!message.ok()) {
    KVP_CHECK(!message.status().message().empty());
    return;
  }
  g_sum += message->header().request;
  g_text_bytes = 0;
  switch (message->type()) {
    case MessageType::kAnswer:
      return ReadAnswer(message->body<wire::Answer>());
    case MessageType::kStatusReply:
      return ReadStatus(message->body<wire::StatusReply>());
    case MessageType::kSequencesReply:
      return ReadSequences(message->body<wire::SequencesReply>());
    case MessageType::kClientsReply:
      return ReadClients(message->body<wire::ClientsReply>());
    default:
      g_sum += ReadEverything(*message, WireBounds{});
  }
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
