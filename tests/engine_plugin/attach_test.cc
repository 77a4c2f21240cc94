// Attaching: what the daemon must agree to, what the engine is told, and what a refusal looks like.

#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {
namespace {

using testing::HasSubstr;

class AttachTest : public EngineFixture {
 protected:
  static std::string RefusalOf(const OpenArguments& arguments, kvp_status expected) {
    kvp_client* client = nullptr;
    EXPECT_EQ(kvp_client_open(&arguments.options, &client), expected) << kvp_last_error();
    EXPECT_EQ(client, nullptr);
    kvp_client_close(client);
    return kvp_last_error();
  }
};

TEST_F(AttachTest, TheEngineLearnsThePoolsSizesAndStrides) {
  Attach();
  EXPECT_EQ(pool_.num_groups, 1u);
  EXPECT_EQ(pool_.frames_hbm, 64u);
  EXPECT_EQ(pool_.frame_bytes_hbm, 4096u);
  EXPECT_EQ(pool_.frame_bytes_host, 8192u);
  EXPECT_EQ(pool_.blocks_nvme, 10u);
  EXPECT_THAT(pool_.k_strides, testing::ElementsAre(1024, kHeads * kDimK, kDimK));
  EXPECT_THAT(pool_.v_strides, testing::ElementsAre(1024, kHeads * kDimV, kDimV));
  EXPECT_EQ(pool_.host_page_stride, 2048);
}

TEST_F(AttachTest, InHndAHeadsTokensLieSideBySide) {
  Attach({.layout = KVP_LAYOUT_HND});
  EXPECT_THAT(pool_.k_strides, testing::ElementsAre(1024, kPageTokens * kDimK, kDimK));
  EXPECT_THAT(pool_.v_strides, testing::ElementsAre(1024, kPageTokens * kDimV, kDimV));
}

TEST_F(AttachTest, LayersOfAPageFollowEachOtherAndGroupsStartAnew) {
  Attach();
  void* k[2];
  void* v[2];
  for (uint32_t layer = 0; layer < 2; ++layer) {
    ASSERT_EQ(kvp_client_layer(client_, KVP_TIER_HBM, layer, &k[layer], &v[layer]), KVP_OK);
  }
  const auto offset = [&](void* address) {
    return static_cast<char*>(address) - static_cast<char*>(k[0]);
  };
  const ptrdiff_t k_bytes = kPageTokens * kHeads * kDimK * 4;
  const ptrdiff_t v_bytes = kPageTokens * kHeads * kDimV * 4;
  EXPECT_EQ(offset(v[0]), k_bytes);
  EXPECT_EQ(offset(k[1]), k_bytes + v_bytes);
  Detach();

  FakeDaemon other;
  const OpenArguments arguments(other.socket_path(), {.layers_per_page = 1});
  ASSERT_EQ(kvp_client_open(&arguments.options, &client_), KVP_OK) << kvp_last_error();
  for (uint32_t layer = 0; layer < 2; ++layer) {
    ASSERT_EQ(kvp_client_layer(client_, KVP_TIER_HBM, layer, &k[layer], &v[layer]), KVP_OK);
  }
  EXPECT_EQ(k[0], k[1]);  // The group's view tells them apart.
  Detach();
}

TEST_F(AttachTest, AnotherGeometryIsRefusedWithTheFieldThatDiffers) {
  Attach();
  OpenArguments other(daemon_.socket_path());
  other.geometry.head_dim_v = 16;
  EXPECT_THAT(RefusalOf(other, KVP_FAILED_PRECONDITION), HasSubstr("head_dim_v"));
}

TEST_F(AttachTest, TwoEnginesMayShareAPool) {
  Attach();
  const OpenArguments same(daemon_.socket_path());
  kvp_client* second = nullptr;
  ASSERT_EQ(kvp_client_open(&same.options, &second), KVP_OK) << kvp_last_error();
  Append(OpenSequence(), 3, 1);
  kvp_seq seq = 0;
  EXPECT_EQ(kvp_seq_open(second, nullptr, 0, &seq, nullptr), KVP_OK) << kvp_client_error(second);
  kvp_client_close(second);
  EXPECT_EQ(Length(OpenSequence()), 0u);  // The first one goes on.
}

TEST_F(AttachTest, TheRingIsTakenWhereThereIsOneUnlessTheCallerWantsZeroMq) {
  for (const uint32_t transport : {KVP_TRANSPORT_AUTO, KVP_TRANSPORT_RING, KVP_TRANSPORT_ZMQ}) {
    Attach({.transport = transport});
    Append(OpenSequence(), 3, 1);
    EXPECT_EQ(daemon_.rings_count(), transport == KVP_TRANSPORT_ZMQ ? 0u : 1u) << transport;
    Detach();
    while (daemon_.rings_count() > 0) {
    }
  }
}

TEST_F(AttachTest, WithoutARingTheLibraryTakesZeroMqUnlessTheCallerWantsNothingElse) {
  const FakeDaemon without({.gives_rings = false});
  const OpenArguments automatic(without.socket_path(), {.transport = KVP_TRANSPORT_AUTO});
  ASSERT_EQ(kvp_client_open(&automatic.options, &client_), KVP_OK) << kvp_last_error();
  kvp_seq seq = 0;
  EXPECT_EQ(kvp_seq_open(client_, nullptr, 0, &seq, nullptr), KVP_OK) << Error();
  const OpenArguments ring(without.socket_path(), {.transport = KVP_TRANSPORT_RING});
  EXPECT_THAT(RefusalOf(ring, KVP_UNIMPLEMENTED), HasSubstr("KVP_TRANSPORT_AUTO"));
  Detach();
}

TEST_F(AttachTest, ACallerOfBeforeTheRingGetsOne) {
  OpenArguments old(daemon_.socket_path());
  old.options.struct_size = offsetof(kvp_client_options, transport);
  old.options.transport = 77;  // Behind the end of its struct: not looked at.
  old.options.spin_us = 7777;
  ASSERT_EQ(kvp_client_open(&old.options, &client_), KVP_OK) << kvp_last_error();
  EXPECT_EQ(daemon_.rings_count(), 1u);
  Detach();
}

TEST_F(AttachTest, ARefusalKeepsItsCodeAndItsWords) {
  daemon_.RefuseAttach(absl::PermissionDeniedError("namespace acme wants another token"));
  const OpenArguments arguments(daemon_.socket_path());
  EXPECT_THAT(RefusalOf(arguments, KVP_PERMISSION_DENIED),
              HasSubstr("namespace acme wants another token"));
}

TEST_F(AttachTest, WithoutADaemonTheEngineIsToldWhereItLooked) {
  const OpenArguments arguments(daemon_.socket_path() + ".nowhere");
  EXPECT_THAT(RefusalOf(arguments, KVP_UNAVAILABLE), HasSubstr(".nowhere"));
}

TEST_F(AttachTest, AnotherMajorVersionOfTheAbiIsRefused) {
  OpenArguments arguments(daemon_.socket_path());
  arguments.options.abi_version = 7u << 16 | 3;
  EXPECT_THAT(RefusalOf(arguments, KVP_UNIMPLEMENTED), HasSubstr("7.3"));
  EXPECT_EQ(kvp_abi_version(), uint32_t{KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR});
}

}  // namespace
}  // namespace kvpager::engine
