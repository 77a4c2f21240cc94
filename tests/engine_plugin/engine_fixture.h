// tests/engine_plugin/engine_fixture.h
//
// An engine on the fake daemon, through the C ABI. K and V of a token follow from (seed, layer,
// head, token), so that any row read through a view can be checked.

#ifndef KVPAGER_TESTS_ENGINE_PLUGIN_ENGINE_FIXTURE_H_
#define KVPAGER_TESTS_ENGINE_PLUGIN_ENGINE_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine_plugin/kvpager.h"
#include "tests/engine_plugin/fake_daemon.h"

namespace kvpager::engine {

inline constexpr uint32_t kPageTokens = 4;
inline constexpr uint32_t kLayers = 2;
inline constexpr uint32_t kHeads = 2;
inline constexpr uint32_t kDimK = 8;
inline constexpr uint32_t kDimV = 4;
inline constexpr uint64_t kLongUs = 20'000'000;

// KVP_TRANSPORT_*, as $KVPAGER_TEST_TRANSPORT says: every test of an engine runs on each.
uint32_t TransportOfTest();

struct EngineSetup {
  uint32_t layers_per_page = kLayers;
  uint32_t layout = KVP_LAYOUT_NHD;
  uint32_t timeout_us = kLongUs;
  uint32_t pinned_steps = 1;
  uint32_t transport = TransportOfTest();
};

// Owns the strings and structs that kvp_client_options points to.
struct OpenArguments {
  explicit OpenArguments(const std::string& path, const EngineSetup& setup = {});
  OpenArguments(const OpenArguments&) = delete;
  OpenArguments& operator=(const OpenArguments&) = delete;

  std::string socket_path;
  kvp_geometry geometry{};
  kvp_client_options options{};
};

// A view, copied.
struct ViewCopy {
  std::vector<int32_t> indptr, indices, last_page_len, positions;
};

class EngineFixture : public testing::Test {
 protected:
  void Attach(const EngineSetup& setup = {});
  void Detach();
  ~EngineFixture() override { Detach(); }

  static std::vector<kvp_block_key> Keys(uint32_t seed, uint32_t count);
  kvp_seq OpenSequence(const std::vector<kvp_block_key>& keys = {}, uint32_t* reused = nullptr);
  uint64_t Length(kvp_seq seq);

  kvp_step* Begin(const std::vector<kvp_step_entry>& entries, uint32_t lane = 0,
                  uint32_t residency = KVP_RESIDENT);
  static kvp_step_entry Entry(kvp_seq seq, uint32_t append_tokens);
  ViewCopy View(kvp_step* step, uint32_t group, int32_t tier = KVP_TIER_HBM);

  // One whole step: appends `count` tokens to `seq` and writes them.
  void Append(kvp_seq seq, uint32_t count, uint32_t seed);
  // Writes rows [first, end) of the entry that is alone in `step`.
  void Write(kvp_step* step, uint64_t first_token, uint64_t end_token, uint32_t seed);
  // Where the row of a token was first written: as token `token` with seed `seed`.
  struct Origin {
    uint32_t seed = 0;
    uint64_t token = 0;
  };
  // Tokens [0, count), each where it was written, with one seed.
  static std::vector<Origin> Origins(uint64_t count, uint32_t seed);
  // Every row of the sequence, read through a step of its own, is the row that was written there.
  void ExpectRows(kvp_seq seq, const std::vector<Origin>& origins);
  // Rows listed in `view` (of one entry) are those of `seed`, up to token `end_token`.
  void ExpectRowsIn(const ViewCopy& view, uint32_t group, int32_t tier, uint32_t seed,
                    uint64_t end_token);

  // Waits for an answer that comes behind everything posted before. Keeps one sequence open, from
  // its first call on.
  void Barrier();
  std::string Error() const { return kvp_client_error(client_); }

  float* Row(int32_t tier, bool is_v, uint32_t layer, uint32_t head, int32_t frame, uint32_t slot);
  static float Value(uint32_t seed, bool is_v, uint32_t layer, uint32_t head, uint32_t dim,
                     uint64_t token);

  FakeDaemon daemon_;
  EngineSetup setup_;
  kvp_client* client_ = nullptr;
  kvp_pool_info pool_{};
  kvp_seq barrier_seq_ = 0;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_TESTS_ENGINE_PLUGIN_ENGINE_FIXTURE_H_
