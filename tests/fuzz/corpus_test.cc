// tests/fuzz/corpus_test.cc
//
// The seeds of the fuzzers, corpus/<fuzzer>/<name>: every one of them must still be understood by
// what its fuzzer feeds, or the fuzzer starts from noise.
//
//   fuzz_corpus_test --rewrite     writes the seeds as the helpers of tests/ipc make them now

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "ipc/attach.h"
#include "ipc/lanes.h"
#include "ipc/wire.h"
#include "tests/fuzz/hostile_peer.h"
#include "tests/ipc/wire_corpus.h"

namespace kvpager {
namespace {

namespace fs = std::filesystem;

bool rewrite = false;

struct Seed {
  std::string fuzzer;
  std::string name;
  MessageBytes bytes;
};

using Seeds = std::vector<Seed>;

std::string FileName(MessageType type) {
  return absl::AsciiStrToLower(std::string(MessageTypeName(type)));
}

template <typename Table>
MessageBytes Encoded(flatbuffers::FlatBufferBuilder& builder, flatbuffers::Offset<Table> root) {
  MessageBytes bytes;
  KVP_CHECK(EncodeMessage(7, {{1, 2}}, builder, root, bytes).ok());
  return bytes;
}

// Of the messages in WireCorpus, and what they leave out: a prefetch by keys alone, a step of many
// sequences, an answer without a loss.
void AddMessages(Seeds& seeds) {
  for (const MessageBytes& bytes : WireCorpus()) {
    const MessageType type = DecodeHeader(bytes)->type;
    if (type >= MessageType::kAttachRequest) continue;
    const bool is_reply = type >= MessageType::kAnswer;
    seeds.push_back({is_reply ? "wire_reply" : "wire_request", FileName(type), bytes});
  }
  flatbuffers::FlatBufferBuilder a, b;
  const std::vector<wire::Key> keys = {{1, 2, 3, 4}, {5, 6, 7, 8}};
  seeds.push_back(
      {"wire_request", "prefetch_keys",
       Encoded(a, wire::CreatePrefetchRequest(a, 0, a.CreateVectorOfStructs(keys), 0, 500, 4))});
  seeds.push_back({"wire_request", "stepbegin_many", MakeStepBegin(32)});
  const std::vector<wire::BlockRun> runs = {{0, 4, 1}, {16, 1, 1023}};
  const auto update = wire::CreateSequenceUpdate(b, 11, 80, 0, b.CreateVectorOfStructs(runs));
  const auto updates = b.CreateVector(&update, 1);
  seeds.push_back(
      {"wire_reply", "answer_ok",
       Encoded(b, wire::CreateAnswer(b, 0, 0, 11, 80, 1, 2, 2, nullptr, nullptr, updates))});
}

MessageBytes Planned(const Plan& plan, const MessageBytes& packet) {
  MessageBytes bytes(sizeof(plan) + packet.size());
  std::memcpy(bytes.data(), &plan, sizeof(plan));
  std::copy(packet.begin(), packet.end(), bytes.begin() + sizeof(plan));
  return bytes;
}

// With the length in its header that it has when Plan::kLong has made it longer than is allowed.
MessageBytes Long(MessageBytes message) {
  constexpr uint32_t kBodyBytes = kAttachBytesMax + 1 - kWireHeaderBytes;
  std::memcpy(message.data() + 12, &kBodyBytes, sizeof(kBodyBytes));
  return message;
}

void AddRequests(Seeds& seeds) {
  AttachRequest request;
  request.pool = "llama";
  request.geometry = {
      .num_layers = 4, .layers_per_page = 2, .num_kv_heads = 2, .head_dim_k = 64, .head_dim_v = 64};
  request.model = "model";
  request.name_space = "tenant";
  request.token = "secret";
  request.engine_name = "test";
  request.ring = true;
  request.gpu = true;
  MessageBytes engine;
  KVP_CHECK(EncodeAttachRequest(request, engine).ok());
  request.geometry = {.page_tokens = 4096,
                      .num_layers = 4,
                      .layers_per_page = 4,
                      .num_kv_heads = 128,
                      .head_dim_k = 1024,
                      .head_dim_v = 1024,
                      .dtype = Dtype::kF8E4m3};
  MessageBytes large;
  KVP_CHECK(EncodeAttachRequest(request, large).ok());
  MessageBytes admin;
  KVP_CHECK(EncodeAttachRequest({.admin = true, .geometry = request.geometry}, admin).ok());
  seeds.push_back({"attach_request", "engine", Planned({}, engine)});
  seeds.push_back({"attach_request", "large", Planned({}, large)});
  seeds.push_back({"attach_request", "admin", Planned({}, admin)});
  seeds.push_back({"attach_request", "leaves", Planned({.how = Plan::kLeaves}, engine)});
  seeds.push_back(
      {"attach_request", "descriptors", Planned({.descriptors = 3, .how = Plan::kTwice}, engine)});
  seeds.push_back({"attach_request", "cut", Planned({.how = Plan::kCut, .cut = 128}, engine)});
  seeds.push_back({"attach_request", "long", Planned({.how = Plan::kLong}, Long(engine))});
  seeds.push_back({"attach_request", "not_a_request", Planned({}, MakeOpen(2))});
}

void AddReplies(Seeds& seeds) {
  AttachReply reply;
  reply.client = 3;
  reply.session = {{1, 2}};
  reply.endpoint = "ipc:///tmp/x.zmq";
  MessageBytes admin;
  KVP_CHECK(EncodeAttachReply(reply, admin).ok());
  reply.pool = {.blocks_max = 10, .num_groups = 2, .page_tokens = 16};
  reply.regions = {{std::string(kRegionPageTable), kHostileRegionBytes, false},
                   {std::string(kRegionHbm), 4096, true},
                   {std::string(kRegionHost), kHostileRegionBytes, false},
                   {std::string(kRegionLanes), kLanesRegionBytes, true}};
  MessageBytes engine;
  KVP_CHECK(EncodeAttachReply(reply, engine).ok());
  reply.regions.push_back({std::string(kRegionRing), kHostileRegionBytes, true});
  reply.regions.push_back({std::string(kRegionDoorbell), 0, false});
  MessageBytes ring;
  KVP_CHECK(EncodeAttachReply(reply, ring).ok());
  MessageBytes refusal;
  KVP_CHECK(EncodeAttachReply({.status = absl::FailedPreconditionError("no")}, refusal).ok());
  seeds.push_back({"attach_reply", "admin", Planned({}, admin)});
  seeds.push_back({"attach_reply", "engine", Planned({.descriptors = 4}, engine)});
  seeds.push_back({"attach_reply", "kinds", Planned({.descriptors = 4, .kinds = 0xe4}, engine)});
  // Every fourth is a doorbell; the second time it is where one should be.
  seeds.push_back({"attach_reply", "ring", Planned({.descriptors = 6}, ring)});
  seeds.push_back({"attach_reply", "bells", Planned({.descriptors = 6, .kinds = 0x0c}, ring)});
  seeds.push_back({"attach_reply", "long", Planned({.how = Plan::kLong}, Long(admin))});
  seeds.push_back({"attach_reply", "refusal", Planned({}, refusal)});
  seeds.push_back({"attach_reply", "empty_first",
                   Planned({.descriptors = 4, .how = Plan::kEmptyFirst}, engine)});
  seeds.push_back(
      {"attach_reply", "too_many", Planned({.descriptors = 12, .how = Plan::kTwice}, engine)});
  seeds.push_back({"attach_reply", "leaves", Planned({.how = Plan::kLeaves}, admin)});
}

// Scripts of ring_fuzz.cc.
void AddRings(Seeds& seeds) {
  const auto add = [&](const std::string& name, const std::vector<uint8_t>& script) {
    seeds.push_back({"ring", name, MessageBytes(script.begin(), script.end())});
  };
  add("messages", {0, 10, 0, 0, 127, 0, 1, 0, 64, 0, 6, 1, 0, 1, 0, 1, 6});
  add("long", {0, 0xcf, 7, 7, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 6});
  add("full", {0, 100, 0, 0, 100, 0, 0, 100, 0, 0, 100, 0, 0, 100, 0, 7, 1, 0, 0, 0, 1});
  add("tail", {0, 10, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1});
  add("head", {0, 100, 0, 0, 100, 0, 0, 100, 0, 0, 100, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7});
  add("record", {5, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 2, 1});
  add("goes_on",
      {5, 0, 0, 128, 0, 0, 0, 1, 0, 0, 0, 4, 17, 1, 5, 17, 0, 1, 0, 0, 0, 0, 0, 1, 0, 4, 2, 1});
}

Seeds AllSeeds() {
  Seeds seeds;
  AddRings(seeds);
  AddMessages(seeds);
  AddRequests(seeds);
  AddReplies(seeds);
  return seeds;
}

fs::path PathOf(const Seed& seed) {
  return fs::path(KVPAGER_FUZZ_CORPUS) / seed.fuzzer / seed.name;
}

TEST(FuzzCorpus, EverySeedIsUnderstood) {
  for (const Seed& seed : AllSeeds()) {
    SCOPED_TRACE(PathOf(seed));
    if (rewrite) {
      fs::create_directories(PathOf(seed).parent_path());
      std::ofstream(PathOf(seed), std::ios::binary)
          .write(reinterpret_cast<const char*>(seed.bytes.data()),
                 static_cast<std::streamsize>(seed.bytes.size()));
    }
    std::ifstream in(PathOf(seed), std::ios::binary);
    ASSERT_TRUE(in) << "it is missing; run with --rewrite";
    MessageBytes bytes{std::istreambuf_iterator<char>(in), {}};
    if (seed.fuzzer == "ring") {
      EXPECT_EQ(bytes, seed.bytes);
      continue;
    }
    if (seed.fuzzer.starts_with("attach")) {
      ASSERT_GE(bytes.size(), sizeof(Plan));
      const bool is_long = (bytes[offsetof(Plan, how)] & Plan::kLong) != 0;
      bytes.erase(bytes.begin(), bytes.begin() + sizeof(Plan));
      if (is_long) bytes.resize(kAttachBytesMax + 1);
    }
    EXPECT_TRUE(DecodeMessage(bytes).ok()) << DecodeMessage(bytes).status();
  }
}

TEST(FuzzCorpus, EveryFileIsASeed) {
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(KVPAGER_FUZZ_CORPUS)) {
    files += entry.is_regular_file();
  }
  EXPECT_EQ(files, AllSeeds().size()) << "a seed comes from corpus_test.cc; remove other files";
}

}  // namespace
}  // namespace kvpager

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) kvpager::rewrite |= std::string(argv[i]) == "--rewrite";
  return RUN_ALL_TESTS();
}
