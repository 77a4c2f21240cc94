// tests/engine_plugin/random_engine.h
//
// An engine that does anything the C ABI allows, drawn from a seed, and keeps a model beside it:
// for each sequence, where every row was first written. Every step compares all rows it can see.
//
// Thread-safety: none. Errors: gtest failures; Run stops at the first.

#ifndef KVPAGER_TESTS_ENGINE_PLUGIN_RANDOM_ENGINE_H_
#define KVPAGER_TESTS_ENGINE_PLUGIN_RANDOM_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "engine_plugin/kvpager.h"

namespace kvpager::engine {

struct RandomEngineOptions {
  uint64_t seed = 0;
  uint32_t layout = KVP_LAYOUT_NHD;
  uint32_t tokens_max = 40;  // Of one sequence.
  size_t sequences_max = 6;
  size_t step_blocks_max = 20;  // So that a step fits the smallest HBM of the tests.
  bool durable_names = false;
};

class RandomEngine {
 public:
  // REQUIRES: `client` has the geometry of tests/engine_plugin/engine_fixture.h, and outlives this.
  RandomEngine(kvp_client* client, const RandomEngineOptions& options);

  void Run(int operations);

  uint64_t rows_checked() const { return rows_checked_; }
  uint64_t tokens_reused() const { return tokens_reused_; }
  uint64_t host_pages_seen() const { return host_pages_seen_; }

 private:
  // Where a row was first written: stream and position make its values.
  struct Origin {
    uint64_t stream = 0;
    uint64_t token = 0;

    friend bool operator==(const Origin&, const Origin&) = default;
  };
  using Rows = std::vector<Origin>;

  struct OpenStep {
    kvp_step* step = nullptr;
    std::vector<kvp_step_entry> entries;
    std::vector<Rows> rows;  // Per entry, with the new tokens.
    uint32_t residency = KVP_RESIDENT;
  };

  void Operate();
  void Open();
  void Step();
  void OverlappingSteps();
  void Speculate();
  void Truncate();
  void Fork();
  void ForkInStep();
  void Name();
  void SuspendAndResume();
  void Hint();
  void Close();

  OpenStep Begin(const std::vector<kvp_seq>& sequences, uint32_t append_max, uint32_t draft);
  bool Wait(OpenStep& step);
  void WriteAndCheck(OpenStep& step);
  void End(OpenStep& step, int32_t keep_or_discard);
  void CheckList(const OpenStep& step, const kvp_view& view, uint32_t group, int32_t tier,
                 std::vector<std::vector<int>>& seen);
  void WriteList(const OpenStep& step, const kvp_view& view, uint32_t group);
  void CheckLengths();

  std::vector<kvp_block_key> KeysOf(const Rows& rows) const;
  float* Row(int32_t tier, bool is_v, uint32_t layer, uint32_t head, int32_t frame, uint32_t slot);
  static float Value(const Origin& origin, bool is_v, uint32_t layer, uint32_t head, uint32_t dim);
  uint32_t Draw(uint32_t count) { return static_cast<uint32_t>(random_() % count); }
  kvp_seq Any();
  void Expect(kvp_status status, const char* what);

  kvp_client* client_;
  const RandomEngineOptions options_;
  std::mt19937_64 random_;
  kvp_pool_info pool_{};
  uint32_t layers_per_group_ = 0;
  std::map<kvp_seq, Rows> sequences_;
  std::set<kvp_seq> forked_;  // Parents and children.
  std::vector<Rows> named_;   // Histories that were named at some time.
  uint64_t stream_newest_ = 0;
  uint64_t rows_checked_ = 0;
  uint64_t tokens_reused_ = 0;
  uint64_t host_pages_seen_ = 0;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_TESTS_ENGINE_PLUGIN_RANDOM_ENGINE_H_
