#include "tests/ipc/wire_corpus.h"

#include <string>

#include "ipc/attach.h"
#include "ipc/wire_values.h"

namespace kvpager {
namespace {

constexpr SessionToken kSession = {{1, 2}};
constexpr uint64_t kRequest = 7;

using flatbuffers::FlatBufferBuilder;

template <typename Table>
MessageBytes Encoded(FlatBufferBuilder& builder, flatbuffers::Offset<Table> root) {
  MessageBytes bytes;
  KVP_CHECK(EncodeMessage(kRequest, kSession, builder, root, bytes).ok());
  return bytes;
}

std::vector<wire::Key> Keys(uint32_t count) {
  std::vector<wire::Key> keys;
  for (uint32_t i = 0; i < count; ++i) keys.emplace_back(i, i + 1, i + 2, i + 3);
  return keys;
}

void AddSequenceRequests(std::vector<MessageBytes>& corpus) {
  const wire::Ticket ticket(3, 9);
  const auto add = [&corpus](auto make) {
    FlatBufferBuilder builder;
    corpus.push_back(Encoded(builder, make(builder)));
  };
  corpus.push_back(MakeOpen(5));
  add([](FlatBufferBuilder& b) {
    return wire::CreateExtendRequest(b, 11, b.CreateVectorOfStructs(Keys(4)));
  });
  add([&](FlatBufferBuilder& b) { return wire::CreateForkRequest(b, 11, &ticket); });
  add([&](FlatBufferBuilder& b) { return wire::CreateTruncateRequest(b, 11, 32, true, &ticket); });
  add([&](FlatBufferBuilder& b) {
    return wire::CreateNameRequest(b, 11, 2, b.CreateVectorOfStructs(Keys(3)), true, &ticket);
  });
  add([&](FlatBufferBuilder& b) { return wire::CreateSuspendRequest(b, 11, &ticket); });
  add([](FlatBufferBuilder& b) { return wire::CreateResumeRequest(b, 11); });
  add([&](FlatBufferBuilder& b) { return wire::CreateCloseRequest(b, 11, &ticket); });
  corpus.push_back(MakeStepBegin(3));
  add([&](FlatBufferBuilder& b) { return wire::CreateStepEndRequest(b, &ticket); });
  add([&](FlatBufferBuilder& b) { return wire::CreateStepCancelRequest(b, &ticket); });
  add([](FlatBufferBuilder& b) {
    return wire::CreatePrefetchRequest(b, 11, b.CreateVectorOfStructs(Keys(2)), 1, 500, 4);
  });
  add([](FlatBufferBuilder& b) { return wire::CreateEvictRequest(b, 11, 2); });
  add([](FlatBufferBuilder& b) { return wire::CreateAppendedRequest(b, 11, 33, 4, 32); });
  add([](FlatBufferBuilder& b) { return wire::CreateStatusRequest(b); });
  add([](FlatBufferBuilder& b) { return wire::CreateSequencesRequest(b, 0, 64); });
  add([](FlatBufferBuilder& b) { return wire::CreateClientsRequest(b); });
  add([](FlatBufferBuilder& b) { return wire::CreateRevokeRequest(b, 3, 4121); });
}

MessageBytes MakeAnswer() {
  FlatBufferBuilder b;
  const std::vector<wire::BlockRun> runs = {{0, 4, 1}, {16, 1, 1023}};
  std::vector<flatbuffers::Offset<wire::SequenceUpdate>> updates;
  for (uint64_t i = 0; i < 3; ++i) {
    const auto list = b.CreateVectorOfStructs(runs);
    updates.push_back(wire::CreateSequenceUpdate(b, i, 80, 0, list));
  }
  const auto list = b.CreateVector(updates);
  const auto reason = b.CreateString("cut");
  const wire::Ticket ticket(3, 9);
  const wire::StepWait wait(1, 2, 3, 4, 5, 6);
  return Encoded(b, wire::CreateAnswer(b, 15, reason, 11, 80, 1, 2, 3, &ticket, &wait, list));
}

MessageBytes MakeStatusReply() {
  FlatBufferBuilder b;
  std::vector<flatbuffers::Offset<wire::TierStatus>> tiers;
  std::vector<flatbuffers::Offset<wire::Counter>> counters;
  for (const char* name : {"hbm", "host", "nvme"}) {
    const auto text = b.CreateString(name);
    tiers.push_back(wire::CreateTierStatus(b, text, 1, 2, 3, 4, 5, 6, text, true));
    counters.push_back(wire::CreateCounter(b, text, 7));
  }
  const auto tier_list = b.CreateVector(tiers);
  const auto counter_list = b.CreateVector(counters);
  const auto text = b.CreateString("text");
  return Encoded(b, wire::CreateStatusReply(b, text, 1, 2, text, text, text, 3, 4, 5, tier_list,
                                            counter_list));
}

MessageBytes MakeSequencesReply() {
  FlatBufferBuilder b;
  const auto name = b.CreateString("default");
  const std::vector<flatbuffers::Offset<wire::SequenceStatus>> rows(
      2, wire::CreateSequenceStatus(b, 11, 0, name, 80, 5, 1, 5, 5, 0, false));
  return Encoded(b, wire::CreateSequencesReply(b, b.CreateVector(rows), 12, true));
}

MessageBytes MakeClientsReply() {
  FlatBufferBuilder b;
  const auto name = b.CreateString("engine");
  const std::vector<flatbuffers::Offset<wire::ClientStatus>> rows(
      2, wire::CreateClientStatus(b, 0, 100, 1000, name, name, 1, 1, 9, 10, name, 11, 12, 13, 14));
  return Encoded(b, wire::CreateClientsReply(b, b.CreateVector(rows)));
}

uint64_t Sum(const flatbuffers::String* text) {
  uint64_t sum = 0;
  for (const char c : StringOf(text)) sum += static_cast<unsigned char>(c);
  return sum;
}

uint64_t Sum(const wire::Ticket* ticket) { return TicketOf(ticket).lane + TicketOf(ticket).number; }

uint64_t Sum(const flatbuffers::Vector<const wire::Key*>* keys, const WireBounds& bounds) {
  KVP_CHECK_LE(CountOf(keys), bounds.keys_max);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < CountOf(keys); ++i) {
    sum += keys->Get(i)->word0() + keys->Get(i)->word3();
  }
  return sum;
}

uint64_t Sum(const wire::StepBeginRequest& body, const WireBounds& bounds) {
  KVP_CHECK(body.ticket() != nullptr);
  KVP_CHECK_LE(CountOf(body.entries()), bounds.step_entries_max);
  KVP_CHECK_GT(CountOf(body.entries()), 0u);
  uint64_t sum = Sum(body.ticket());
  for (const wire::StepEntry* entry : *body.entries()) {
    sum += entry->sequence() + entry->draft() + entry->rewrite_from_tokens();
  }
  return sum;
}

uint64_t Sum(const wire::Answer& body) {
  KVP_CHECK_LE(CountOf(body.updates()), kReplyItemsMax);
  uint64_t sum = Sum(body.reason()) + Sum(body.ticket()) + !StatusOf(body.status(), "").ok();
  if (body.wait() != nullptr) sum += body.wait()->promoted_nvme_pages();
  uint64_t runs = 0;
  for (uint32_t i = 0; i < CountOf(body.updates()); ++i) {
    const wire::SequenceUpdate& update = *body.updates()->Get(i);
    runs += CountOf(update.runs());
    KVP_CHECK_LE(runs, uint64_t{kReplyRunsMax});
    for (uint32_t j = 0; j < CountOf(update.runs()); ++j) {
      KVP_CHECK_LT(update.runs()->Get(j)->generation(), 1024u);
      sum += update.runs()->Get(j)->count();
    }
  }
  return sum;
}

uint64_t Sum(const wire::StatusReply& body) {
  uint64_t sum = Sum(body.version()) + Sum(body.pool()) + Sum(body.geometry()) + Sum(body.model());
  KVP_CHECK_LE(CountOf(body.tiers()) + CountOf(body.counters()), 2 * kReplyItemsMax);
  for (uint32_t i = 0; i < CountOf(body.tiers()) && i < 64; ++i) {
    sum += Sum(body.tiers()->Get(i)->name()) + Sum(body.tiers()->Get(i)->detail());
  }
  for (uint32_t i = 0; i < CountOf(body.counters()) && i < 64; ++i) {
    sum += Sum(body.counters()->Get(i)->name()) + body.counters()->Get(i)->value();
  }
  return sum;
}

uint64_t SumOfHandshake(const MessageView& view) {
  if (view.type() == MessageType::kAttachRequest) {
    const auto& body = view.body<wire::AttachRequest>();
    KVP_CHECK(body.admin() || body.geometry() != nullptr);
    return Sum(body.pool()) + Sum(body.model()) + Sum(body.token()) + Sum(body.engine_name());
  }
  const auto& body = view.body<wire::AttachReply>();
  uint64_t sum = Sum(body.reason()) + Sum(body.endpoint());
  KVP_CHECK_LE(CountOf(body.regions()), kRegionsMax);
  for (uint32_t i = 0; i < CountOf(body.regions()); ++i) {
    sum += Sum(body.regions()->Get(i)->name());
  }
  return sum;
}

}  // namespace

MessageBytes MakeOpen(uint32_t keys) {
  FlatBufferBuilder builder;
  return Encoded(builder,
                 wire::CreateOpenRequest(builder, builder.CreateVectorOfStructs(Keys(keys))));
}

MessageBytes MakeStepBegin(uint32_t entries) {
  FlatBufferBuilder builder;
  std::vector<wire::StepEntry> list;
  for (uint32_t i = 0; i < entries; ++i) {
    list.emplace_back(i + 1, 1, false, 0, ~0u, 0, ~0u, ~uint64_t{0});
  }
  const wire::Ticket ticket(3, 9);
  return Encoded(builder, wire::CreateStepBeginRequest(builder, &ticket, 0,
                                                       builder.CreateVectorOfStructs(list)));
}

std::vector<MessageBytes> WireCorpus() {
  std::vector<MessageBytes> corpus;
  AddSequenceRequests(corpus);
  corpus.push_back(MakeAnswer());
  corpus.push_back(MakeStatusReply());
  corpus.push_back(MakeSequencesReply());
  corpus.push_back(MakeClientsReply());
  AttachRequest request;
  request.pool = "llama";
  request.geometry = {
      .num_layers = 4, .layers_per_page = 4, .num_kv_heads = 2, .head_dim_k = 64, .head_dim_v = 64};
  request.model = "model";
  request.name_space = "tenant";
  request.token = "secret";
  request.engine_name = "test";
  KVP_CHECK(EncodeAttachRequest(request, corpus.emplace_back()).ok());
  AttachReply reply;
  reply.client = 3;
  reply.session = kSession;
  reply.endpoint = "ipc:///tmp/x.zmq";
  reply.pool = {.blocks_max = 10, .num_groups = 1, .page_tokens = 16, .gpu = {1, 2, 3}};
  reply.regions = {{"page_table", 8192, false}, {"hbm", 4096, true}};
  KVP_CHECK(EncodeAttachReply(reply, corpus.emplace_back()).ok());
  return corpus;
}

uint64_t ReadEverything(const MessageView& view, const WireBounds& bounds) {
  switch (view.type()) {
    case MessageType::kOpen:
      return Sum(view.body<wire::OpenRequest>().keys(), bounds);
    case MessageType::kExtend:
      return Sum(view.body<wire::ExtendRequest>().keys(), bounds);
    case MessageType::kFork:
      return Sum(view.body<wire::ForkRequest>().ticket());
    case MessageType::kTruncate:
      return Sum(view.body<wire::TruncateRequest>().ticket());
    case MessageType::kName:
      return Sum(view.body<wire::NameRequest>().keys(), bounds);
    case MessageType::kSuspend:
      return Sum(view.body<wire::SuspendRequest>().ticket());
    case MessageType::kResume:
      return view.body<wire::ResumeRequest>().sequence();
    case MessageType::kClose:
      return Sum(view.body<wire::CloseRequest>().ticket());
    case MessageType::kStepBegin:
      return Sum(view.body<wire::StepBeginRequest>(), bounds);
    case MessageType::kStepEnd:
      return Sum(view.body<wire::StepEndRequest>().ticket());
    case MessageType::kStepCancel:
      return Sum(view.body<wire::StepCancelRequest>().ticket());
    case MessageType::kPrefetch:
      return Sum(view.body<wire::PrefetchRequest>().keys(), bounds);
    case MessageType::kEvict:
      return view.body<wire::EvictRequest>().sequence();
    case MessageType::kAppended:
      return view.body<wire::AppendedRequest>().length_tokens();
    case MessageType::kStatus:
    case MessageType::kClients:
      return 0;
    case MessageType::kRevoke:
      return view.body<wire::RevokeRequest>().client() + view.body<wire::RevokeRequest>().pid();
    case MessageType::kSequences:
      return view.body<wire::SequencesRequest>().count_max();
    case MessageType::kAnswer:
      return Sum(view.body<wire::Answer>());
    case MessageType::kStatusReply:
      return Sum(view.body<wire::StatusReply>());
    case MessageType::kSequencesReply:
      return CountOf(view.body<wire::SequencesReply>().sequences());
    case MessageType::kClientsReply:
      return CountOf(view.body<wire::ClientsReply>().clients());
    case MessageType::kAttachRequest:
    case MessageType::kAttachReply:
      return SumOfHandshake(view);
  }
  KVP_CHECK(false);  // The decoder let a type pass that has no table.
  return 0;
}

}  // namespace kvpager
