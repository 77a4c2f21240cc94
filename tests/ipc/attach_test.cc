// tests/ipc/attach_test.cc
//
// Proves that the handshake's values survive their encoding, and that what an engine may not say is
// refused by name.

#include "ipc/attach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/ipc/wire_corpus.h"

namespace kvpager {
namespace {

using testing::HasSubstr;

AttachRequest GoodRequest() {
  AttachRequest request;
  request.pool = "llama";
  request.geometry = {.page_tokens = 32,
                      .num_layers = 8,
                      .layers_per_page = 2,
                      .num_kv_heads = 3,
                      .head_dim_k = 64,
                      .head_dim_v = 128,
                      .dtype = Dtype::kBf16,
                      .layout = KvLayout::kHnd};
  request.model = "llama-3-8b@rev1";
  request.name_space = "tenant";
  request.token = std::string("t\0k", 3);
  request.engine_name = "vllm";
  return request;
}

std::string Verdict(const AttachRequest& request) {
  MessageBytes bytes;
  return std::string(EncodeAttachRequest(request, bytes).message());
}

TEST(Attach, ARequestComesBackAsItWasSent) {
  const AttachRequest sent = GoodRequest();
  MessageBytes bytes;
  ASSERT_TRUE(EncodeAttachRequest(sent, bytes).ok());
  const absl::StatusOr<AttachRequest> got = DecodeAttachRequest(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->version_major, kWireMajor);
  EXPECT_EQ(got->pool, sent.pool);
  EXPECT_EQ(got->geometry, sent.geometry);
  EXPECT_EQ(got->model, sent.model);
  EXPECT_EQ(got->name_space, sent.name_space);
  EXPECT_EQ(got->token, sent.token);
  EXPECT_EQ(got->engine_name, sent.engine_name);
  EXPECT_FALSE(got->admin);
}

TEST(Attach, AReplyComesBackAsItWasSent) {
  AttachReply sent;
  sent.client = 5;
  sent.session = RandomSessionToken();
  sent.endpoint = "ipc:///run/x.zmq";
  sent.pool = {.blocks_max = 1,
               .num_groups = 2,
               .frames_hbm = 3,
               .frame_bytes_hbm = 4,
               .frames_host = 5,
               .frame_bytes_host = 6,
               .blocks_nvme = 7,
               .page_tokens = 8,
               .keys_per_command_max = 9,
               .entries_per_step_max = 10};
  sent.pool.gpu = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255};
  sent.regions = {{"page_table", 4096, false}, {"hbm", 1 << 20, true}};
  MessageBytes bytes;
  ASSERT_TRUE(EncodeAttachReply(sent, bytes).ok());
  const absl::StatusOr<AttachReply> got = DecodeAttachReply(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(got->status.ok());
  EXPECT_EQ(got->client, 5u);
  EXPECT_EQ(got->session, sent.session);
  EXPECT_EQ(got->endpoint, sent.endpoint);
  EXPECT_EQ(got->pool.blocks_max, 1u);
  EXPECT_EQ(got->pool.frame_bytes_host, 6u);
  EXPECT_EQ(got->pool.entries_per_step_max, 10u);
  EXPECT_EQ(got->pool.gpu, sent.pool.gpu);
  ASSERT_EQ(got->regions.size(), 2u);
  EXPECT_EQ(got->regions[1].name, "hbm");
  EXPECT_TRUE(got->regions[1].writable);
  EXPECT_FALSE(got->regions[0].writable);
}

TEST(Attach, ARefusalTravelsWithItsReasonHoweverLongThatIs) {
  AttachReply sent;
  sent.status = absl::FailedPreconditionError("num_layers differs" + std::string(5000, '.'));
  MessageBytes bytes;
  ASSERT_TRUE(EncodeAttachReply(sent, bytes).ok());
  const absl::StatusOr<AttachReply> got = DecodeAttachReply(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(got->status.message()), HasSubstr("num_layers differs"));
}

TEST(Attach, AnOkReplyWithoutATokenIsRefused) {
  AttachReply sent;
  sent.endpoint = "ipc:///x";
  MessageBytes bytes;
  ASSERT_TRUE(EncodeAttachReply(sent, bytes).ok());
  EXPECT_EQ(DecodeAttachReply(bytes).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Attach, AnAdministratorNeedsNoPool) {
  AttachRequest request;
  request.admin = true;
  MessageBytes bytes;
  ASSERT_TRUE(EncodeAttachRequest(request, bytes).ok());
  const absl::StatusOr<AttachRequest> got = DecodeAttachRequest(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(got->admin);
  EXPECT_EQ(got->name_space, "default");
}

TEST(Attach, AnEngineMustNameItsPool) {
  AttachRequest request = GoodRequest();
  request.pool.clear();
  EXPECT_EQ(Verdict(request), "pool is missing");
}

TEST(Attach, NamesWithControlCharactersOrTooManyBytesAreRefused) {
  AttachRequest request = GoodRequest();
  request.pool = "a\x1b[31m";
  EXPECT_THAT(Verdict(request), HasSubstr("pool contains a control character"));
  request = GoodRequest();
  request.name_space = std::string(256, 'n');
  EXPECT_THAT(Verdict(request), HasSubstr("namespace has 256 bytes, more than 255"));
  request = GoodRequest();
  request.token = std::string(4096, 't');
  EXPECT_THAT(Verdict(request), HasSubstr("token has 4096 bytes, more than 4095"));
}

TEST(Attach, NumbersOutsideTheirEnumerationAreRefused) {
  AttachRequest request = GoodRequest();
  request.geometry.dtype = static_cast<Dtype>(4);
  EXPECT_THAT(Verdict(request), HasSubstr("geometry.dtype is 4"));
  request = GoodRequest();
  request.geometry.layout = static_cast<KvLayout>(2);
  EXPECT_THAT(Verdict(request), HasSubstr("geometry.layout is 2"));
}

TEST(Attach, AnotherMessageOnTheAttachSocketIsRefused) {
  const absl::Status status = DecodeAttachRequest(MakeOpen(1)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("AttachRequest, not Open"));
}

TEST(Attach, SessionTokensDiffer) {
  const SessionToken a = RandomSessionToken();
  EXPECT_FALSE(a.is_none());
  EXPECT_NE(a, RandomSessionToken());
}

}  // namespace
}  // namespace kvpager
