// Every malformed call is refused with KVP_INVALID_ARGUMENT (or what kvpager.h says) and a sentence
// that names the argument; and nothing changes.

#include <limits>

#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {
namespace {

using testing::HasSubstr;

class ArgumentsTest : public EngineFixture {
 protected:
  void ExpectRefused(kvp_status status, const std::string& words,
                     kvp_status expected = KVP_INVALID_ARGUMENT) {
    EXPECT_EQ(status, expected) << Error();
    EXPECT_THAT(Error(), HasSubstr(words));
  }
  static void ExpectOpenRefused(const kvp_client_options* options, const std::string& words) {
    kvp_client* client = nullptr;
    EXPECT_EQ(kvp_client_open(options, &client), KVP_INVALID_ARGUMENT);
    EXPECT_EQ(client, nullptr);
    EXPECT_THAT(kvp_last_error(), HasSubstr(words));
  }
  kvp_status TryBegin(const std::vector<kvp_step_entry>& entries, uint32_t lane = 0,
                      uint32_t residency = KVP_RESIDENT) {
    const kvp_step_options options = {sizeof(kvp_step_options), lane, residency};
    kvp_step* step = nullptr;
    const kvp_status status =
        kvp_step_begin(client_, &options, entries.data(), entries.size(), &step);
    EXPECT_EQ(step, nullptr);
    return status;
  }
};

TEST_F(ArgumentsTest, Open) {
  kvp_client* client = nullptr;
  EXPECT_EQ(kvp_client_open(nullptr, nullptr), KVP_INVALID_ARGUMENT);
  EXPECT_THAT(kvp_last_error(), HasSubstr("client is NULL"));
  EXPECT_EQ(kvp_client_open(nullptr, &client), KVP_INVALID_ARGUMENT);
  EXPECT_THAT(kvp_last_error(), HasSubstr("options is NULL"));
  const auto refused = [&](auto change, const std::string& words) {
    OpenArguments arguments(daemon_.socket_path());
    change(arguments);
    ExpectOpenRefused(&arguments.options, words);
  };
  refused([](auto& a) { a.options.struct_size = 8; }, "sizeof(kvp_client_options)");
  refused([](auto& a) { a.options.struct_size += 8; }, "newer kvpager.h");
  refused([](auto& a) { a.options.pool = nullptr; }, "options.pool");
  refused([](auto& a) { a.options.pool = ""; }, "options.pool");
  refused([](auto& a) { a.options.model = nullptr; }, "options.model");
  refused([](auto& a) { a.options.timeout_us = 0; }, "options.timeout_us");
  refused([](auto& a) { a.options.transport = 3; }, "options.transport");
  refused([](auto& a) { a.options.spin_us = 1001; }, "KVP_SPIN_NONE");
  refused([](auto& a) { a.options.memory = 2; }, "KVP_MEMORY_*");
  refused([](auto& a) { a.options.geometry = nullptr; }, "options.geometry");
  refused([](auto& a) { a.geometry.struct_size = 0; }, "sizeof(kvp_geometry)");
  refused([](auto& a) { a.geometry.page_tokens = 0; }, "page_tokens");
  refused([](auto& a) { a.geometry.layers_per_page = 3; }, "layers_per_page");
  refused([](auto& a) { a.geometry.dtype = 4; }, "geometry.dtype");
  refused([](auto& a) { a.geometry.layout = 2; }, "geometry.layout");
}

TEST_F(ArgumentsTest, ANullClientOrStepIsRefusedEverywhere) {
  uint64_t out = 0;
  void* address = nullptr;
  kvp_step* step = nullptr;
  kvp_view view{};
  kvp_step_times times{};
  kvp_pool_info info{};
  const kvp_status results[] = {
      kvp_client_pool_info(nullptr, &info),
      kvp_client_layer(nullptr, 0, 0, &address, &address),
      kvp_seq_open(nullptr, nullptr, 0, &out, nullptr),
      kvp_seq_fork(nullptr, 1, &out),
      kvp_seq_name(nullptr, 1, 0, nullptr, 0, 0, 0),
      kvp_seq_truncate(nullptr, 1, 0),
      kvp_seq_compact(nullptr, 1, 0, 0, nullptr, 0),
      kvp_seq_length(nullptr, 1, &out),
      kvp_seq_suspend(nullptr, 1),
      kvp_seq_resume(nullptr, 1),
      kvp_seq_prefetch(nullptr, 1, 0, 0, 0),
      kvp_prefetch_keys(nullptr, nullptr, 0, 0, 0, 0),
      kvp_seq_evict(nullptr, 1, 1),
      kvp_seq_close(nullptr, 1),
      kvp_step_begin(nullptr, nullptr, nullptr, 0, &step),
      kvp_step_wait(nullptr, 0),
      kvp_step_view(nullptr, 0, 0, &view),
      kvp_step_get_times(nullptr, &times),
      kvp_step_end(nullptr, 0),
  };
  for (const kvp_status result : results) EXPECT_EQ(result, KVP_INVALID_ARGUMENT);
  EXPECT_THAT(kvp_last_error(), HasSubstr("is NULL"));
  EXPECT_STREQ(kvp_client_error(nullptr), "client is NULL");
  kvp_client_close(nullptr);
}

TEST_F(ArgumentsTest, PoolInfoAndLayer) {
  Attach();
  void* k = nullptr;
  void* v = nullptr;
  kvp_pool_info info{};
  ExpectRefused(kvp_client_pool_info(client_, nullptr), "info is NULL");
  ExpectRefused(kvp_client_pool_info(client_, &info), "sizeof(kvp_pool_info)");
  ExpectRefused(kvp_client_layer(client_, KVP_TIER_HBM, 0, nullptr, &v), "k_data");
  ExpectRefused(kvp_client_layer(client_, KVP_TIER_NVME, 0, &k, &v), "tier is 2");
  ExpectRefused(kvp_client_layer(client_, -1, 0, &k, &v), "tier is -1");
  ExpectRefused(kvp_client_layer(client_, KVP_TIER_HBM, 2, &k, &v), "layer 2 of a model with 2");
}

TEST_F(ArgumentsTest, Sequences) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 6, 1);
  kvp_seq out = 0;
  kvp_block_key zero{};
  const std::vector<kvp_block_key> keys = Keys(1, 2);
  kvp_reuse small{};
  ExpectRefused(kvp_seq_open(client_, nullptr, 0, nullptr, nullptr), "seq is NULL");
  ExpectRefused(kvp_seq_open(client_, nullptr, 2, &out, nullptr), "keys is NULL");
  ExpectRefused(kvp_seq_open(client_, &zero, 1, &out, nullptr), "keys[0] is all zero");
  ExpectRefused(kvp_seq_open(client_, nullptr, 0, &out, &small), "sizeof(kvp_reuse)");
  ExpectRefused(kvp_seq_fork(client_, seq, nullptr), "child is NULL");
  ExpectRefused(kvp_seq_fork(client_, seq + 9, &out), "no sequence", KVP_NOT_FOUND);
  ExpectRefused(kvp_seq_name(client_, seq, 0, keys.data(), 2, 0, 0), "only full blocks");
  ExpectRefused(kvp_seq_name(client_, seq, 0, keys.data(), 1, 6, 0), "flags is 6");
  ExpectRefused(kvp_seq_name(client_, seq, 0, keys.data(), 1, KVP_NAME_DURABLE, 0), "timeout_us");
  ExpectRefused(kvp_seq_truncate(client_, seq, 7), "of 6 tokens to 7");
  ExpectRefused(kvp_seq_length(client_, seq, nullptr), "tokens is NULL");
  ExpectRefused(kvp_seq_prefetch(client_, seq, KVP_TIER_NVME, 0, 0), "tier is 2");
  ExpectRefused(kvp_prefetch_keys(client_, &zero, 1, KVP_TIER_HBM, 0, 0), "keys[0]");
  ExpectRefused(kvp_seq_evict(client_, seq, KVP_TIER_HBM), "tier is 0");
  ExpectRefused(kvp_seq_close(client_, 0), "no sequence 0", KVP_NOT_FOUND);
  EXPECT_EQ(out, 0u);
  ExpectRows(seq, Origins(6, 1));
}

TEST_F(ArgumentsTest, Compact) {
  Attach();
  const kvp_seq seq = OpenSequence();
  Append(seq, 6, 1);
  const uint32_t twice[] = {1, 1};
  const uint32_t far[] = {0, 3};
  ExpectRefused(kvp_seq_compact(client_, seq, 0, 3, nullptr, 2), "accepted is NULL");
  ExpectRefused(kvp_seq_compact(client_, seq, 8, 3, twice, 2), "lane is 8");
  ExpectRefused(kvp_seq_compact(client_, seq, 0, 3, twice, 2), "ascending and distinct");
  ExpectRefused(kvp_seq_compact(client_, seq, 0, 3, far, 2), "accepted[1] is 3");
  ExpectRefused(kvp_seq_compact(client_, seq, 0, 7, twice, 1), "base_tokens is 7");
  kvp_step* step = Begin({Entry(seq, 0)});
  ExpectRefused(kvp_seq_compact(client_, seq, 0, 3, twice, 1), "end the step first",
                KVP_FAILED_PRECONDITION);
  ExpectRefused(kvp_seq_close(client_, seq), "end the step first", KVP_FAILED_PRECONDITION);
  ExpectRefused(kvp_seq_resume(client_, seq), "end the step first", KVP_FAILED_PRECONDITION);
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  ASSERT_EQ(kvp_step_end(step, KVP_STEP_KEEP), KVP_OK);
  ExpectRows(seq, Origins(6, 1));
}

TEST_F(ArgumentsTest, StepBegin) {
  Attach();
  const kvp_seq seq = OpenSequence();
  kvp_step* step = nullptr;
  kvp_step_entry entry = Entry(seq, 1);
  ExpectRefused(kvp_step_begin(client_, nullptr, &entry, 1, nullptr), "step is NULL");
  ExpectRefused(kvp_step_begin(client_, nullptr, nullptr, 1, &step), "at least one entry");
  ExpectRefused(kvp_step_begin(client_, nullptr, &entry, 0, &step), "at least one entry");
  const kvp_step_options unsized{};
  ExpectRefused(kvp_step_begin(client_, &unsized, &entry, 1, &step), "sizeof(kvp_step_options)");
  ExpectRefused(TryBegin({entry}, 8), "lane is 8");
  ExpectRefused(TryBegin({entry}, 0, 3), "residency is 3");
  ExpectRefused(TryBegin({entry}, 0, KVP_STREAMED), "KVP_SPLIT", KVP_UNIMPLEMENTED);
  ExpectRefused(TryBegin({entry, entry}), "entry 1: sequence");
  ExpectRefused(TryBegin(std::vector<kvp_step_entry>(9, entry)), "this pool allows 8");
  ExpectRefused(TryBegin({Entry(seq + 9, 1)}), "no sequence", KVP_NOT_FOUND);
  const auto changed = [&](auto change) {
    kvp_step_entry other = Entry(seq, 1);
    change(other);
    return TryBegin({other});
  };
  ExpectRefused(changed([](auto& e) { e.draft = 2; }), "entry 0: draft is 2");
  ExpectRefused(changed([](auto& e) { e.first_group = 1; }), "entry 0: first_group 1");
  ExpectRefused(changed([](auto& e) { e.num_groups = 0; }), "entry 0: num_groups is 0");
  ExpectRefused(changed([](auto& e) { e.num_blocks = e.append_tokens = 0; }),
                "entry 0: num_blocks is 0");
  ExpectRefused(changed([](auto& e) { e.append_tokens = std::numeric_limits<uint32_t>::max(); }),
                "all tiers of this pool together have 64", KVP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(Length(seq), 0u);
}

TEST_F(ArgumentsTest, StepViewTimesAndEnd) {
  Attach();
  const kvp_seq seq = OpenSequence();
  kvp_step* step = Begin({Entry(seq, 5)});
  ASSERT_EQ(kvp_step_wait(step, kLongUs), KVP_OK);
  kvp_view view{};
  kvp_step_times times{};
  ExpectRefused(kvp_step_view(step, 0, KVP_TIER_HBM, nullptr), "view is NULL");
  ExpectRefused(kvp_step_view(step, 0, KVP_TIER_HBM, &view), "sizeof(kvp_view)");
  view.struct_size = sizeof(view);
  ExpectRefused(kvp_step_view(step, 1, KVP_TIER_HBM, &view), "group 1 of a pool with 1");
  ExpectRefused(kvp_step_view(step, 0, KVP_TIER_NVME, &view), "tier is 2");
  ExpectRefused(kvp_step_get_times(step, nullptr), "times is NULL");
  ExpectRefused(kvp_step_get_times(step, &times), "sizeof(kvp_step_times)");
  ExpectRefused(kvp_step_end(step, 7), "the step was discarded");
  EXPECT_EQ(Length(seq), 0u);
}

TEST_F(ArgumentsTest, TooManyOpenStepsAreRefused) {
  Attach();
  const kvp_seq seq = OpenSequence();
  std::vector<kvp_step*> steps;
  for (size_t i = 0; i < 128; ++i) steps.push_back(Begin({Entry(seq, 0)}));
  ExpectRefused(TryBegin({Entry(seq, 0)}), "128 steps of this client are open",
                KVP_RESOURCE_EXHAUSTED);
  for (kvp_step* step : steps) EXPECT_EQ(kvp_step_end(step, KVP_STEP_DISCARD), KVP_OK) << Error();
  Barrier();
  EXPECT_EQ(daemon_.steps_open(), 0u);
}

TEST(HashBlock, IsSha256OverParentCountAndTokens) {
  // SHA-256 of 32 zero bytes, then 03 00 00 00 00 00 00 00, then 1, 2, 3 as 32 bits each.
  const uint32_t tokens[] = {1, 2, 3};
  kvp_block_key key{};
  kvp_hash_block(nullptr, tokens, 3, &key);
  kvp_block_key child{};
  kvp_hash_block(&key, tokens, 3, &child);
  const auto hex = [](const kvp_block_key& value) {
    std::string text;
    for (const uint8_t byte : value.bytes) {
      text += "0123456789abcdef"[byte >> 4];
      text += "0123456789abcdef"[byte & 15];
    }
    return text;
  };
  EXPECT_EQ(hex(key), "71c7e662dc96403d7bc824d2b59fa3213a01721957100a306e93f35b4299e1f5");
  EXPECT_EQ(hex(child), "2ffb89b2b9ca943f12ce8dcff8cebd0edbcfc4b5f7f12f6bd7adc1c50807c1ac");
}

TEST(HashBlock, DependsOnEveryTokenOfALongBlock) {
  std::vector<uint32_t> tokens(200, 7);
  kvp_block_key before{};
  kvp_hash_block(nullptr, tokens.data(), tokens.size(), &before);
  for (const size_t index : {size_t{0}, size_t{63}, size_t{64}, size_t{199}}) {
    std::vector<uint32_t> changed = tokens;
    changed[index] = 8;
    kvp_block_key after{};
    kvp_hash_block(nullptr, changed.data(), changed.size(), &after);
    EXPECT_NE(std::string(after.bytes, after.bytes + 32),
              std::string(before.bytes, before.bytes + 32));
  }
}

}  // namespace
}  // namespace kvpager::engine
