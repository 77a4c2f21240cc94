// That attention over a sequence which does not fit in HBM, nor in HBM and host memory together, is
// what it must be, in every mode: prefilled in passes, then decoded, every output compared with
// attention as the formula says, over rows that were never in a page.

#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine_plugin/attention_engine/attention_engine.h"
#include "engine_plugin/attention_engine/kvpager_attention.h"
#include "gtest/gtest.h"
#include "kernels/dtype.h"
#include "tests/e2e/testbed.h"
#include "tools/support/daemon_status.h"

namespace kvpager::e2e {
namespace {

using attention::AttentionEngine;
using attention::AttentionEngineOptions;
using attention::Drafts;
using attention::KeepOrDiscard;
using attention::Mode;
using attention::PassEntry;

constexpr uint32_t kLayers = 4;
constexpr uint32_t kLayersPerPage = 2;
constexpr uint32_t kKvHeads = 2;
constexpr uint32_t kQueryHeads = 6;
constexpr uint32_t kDim = 64;
constexpr uint32_t kPageTokens = 16;
constexpr float kTolerance = 2e-4f;

kvp_geometry Geometry() {
  kvp_geometry geometry{};
  geometry.struct_size = sizeof geometry;
  geometry.page_tokens = kPageTokens;
  geometry.num_layers = kLayers;
  geometry.layers_per_page = kLayersPerPage;
  geometry.num_kv_heads = kKvHeads;
  geometry.head_dim_k = geometry.head_dim_v = kDim;
  geometry.dtype = KVP_DTYPE_F16;
  geometry.layout = KVP_LAYOUT_NHD;
  return geometry;
}

// Numbers that float16 holds exactly, so that pages and the oracle have the same.
std::vector<float> Rows(std::mt19937_64& random, size_t count) {
  std::vector<float> rows(count);
  for (float& value : rows) value = static_cast<float>(static_cast<int>(random() % 257) - 128) / 64;
  return rows;
}

// The K and V of one sequence, all layers, and attention over them in double.
class Oracle {
 public:
  Oracle() : k_(kLayers), v_(kLayers) {}

  void Append(uint32_t layer, const float* k, const float* v, uint32_t tokens) {
    k_[layer].insert(k_[layer].end(), k, k + size_t{tokens} * kKvHeads * kDim);
    v_[layer].insert(v_[layer].end(), v, v + size_t{tokens} * kKvHeads * kDim);
  }
  void DropLast(uint32_t tokens) {
    for (auto* part : {&k_, &v_}) {
      for (auto& rows : *part) rows.resize(rows.size() - size_t{tokens} * kKvHeads * kDim);
    }
  }
  size_t TokensOf(uint32_t layer) const { return k_[layer].size() / (kKvHeads * kDim); }

  // Of the tokens from `base` on only those at base + accepted[i].
  void KeepOnly(size_t base, const std::vector<uint32_t>& accepted) {
    constexpr size_t kRow = size_t{kKvHeads} * kDim;
    for (auto* part : {&k_, &v_}) {
      for (auto& rows : *part) {
        std::vector<float> kept(rows.begin(), rows.begin() + static_cast<int64_t>(base * kRow));
        for (const uint32_t i : accepted) {
          const auto row = rows.begin() + static_cast<int64_t>((base + i) * kRow);
          kept.insert(kept.end(), row, row + static_cast<int64_t>(kRow));
        }
        rows = kept;
      }
    }
  }

  // Of the query head, to the tokens that it sees.
  std::vector<double> Attend(uint32_t layer, const float* query, uint32_t head,
                             const std::vector<int64_t>& seen) const {
    const uint32_t kv_head = head / (kQueryHeads / kKvHeads);
    std::vector<double> weights;
    double sum = 0;
    for (const int64_t t : seen) {
      const float* const row = Row(k_[layer], t, kv_head);
      double logit = 0;
      for (uint32_t i = 0; i < kDim; ++i) logit += double{query[i]} * row[i];
      weights.push_back(std::exp(logit / std::sqrt(double{kDim})));
      sum += weights.back();
    }
    std::vector<double> output(kDim, 0);
    for (size_t s = 0; s < seen.size(); ++s) {
      const float* const row = Row(v_[layer], seen[s], kv_head);
      for (uint32_t i = 0; i < kDim; ++i) output[i] += weights[s] / sum * row[i];
    }
    return output;
  }

 private:
  static const float* Row(const std::vector<float>& rows, int64_t token, uint32_t head) {
    return rows.data() + (static_cast<size_t>(token) * kKvHeads + head) * kDim;
  }
  std::vector<std::vector<float>> k_;
  std::vector<std::vector<float>> v_;
};

class Attention : public ::testing::TestWithParam<Mode> {
 protected:
  void Start(const DaemonOptions& options) {
    daemon_ = std::make_unique<Daemon>(directory_, options);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
    geometry_ = Geometry();
    kvp_client_options client{};
    client.struct_size = sizeof client;
    client.abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR;
    client.socket_path = daemon_->socket_path().c_str();
    client.pool = "attention";
    client.model = "test-model";
    client.geometry = &geometry_;
    client.timeout_us = 20'000'000;
    ASSERT_EQ(kvp_client_open(&client, &client_), KVP_OK) << kvp_last_error();
    AttentionEngineOptions engine;
    engine.client = client_;
    engine.geometry = geometry_;
    engine.query_heads = kQueryHeads;
    engine.windows = windows_;
    engine.workers = attention::Workers(2, [](const attention::Workers::Work& work) {
      std::thread other([&work] { work(1); });
      work(0);
      other.join();
    });
    auto made = AttentionEngine::Create(engine);
    ASSERT_TRUE(made.ok()) << made.status();
    engine_ = *std::move(made);
  }
  ~Attention() override {
    engine_.reset();
    kvp_client_close(client_);
  }

  kvp_seq Open() {
    kvp_seq seq = 0;
    EXPECT_EQ(kvp_seq_open(client_, nullptr, 0, &seq, nullptr), KVP_OK);
    return seq;
  }

  // A pass over sequences that gain `new_tokens` each; the last query token of each is checked in
  // every layer and head.
  void Pass(Mode mode, const std::vector<kvp_seq>& seqs, std::vector<Oracle>& oracles,
            uint32_t new_tokens, KeepOrDiscard keep_or_discard = KeepOrDiscard::kKeep) {
    std::vector<PassEntry> entries;
    for (const kvp_seq seq : seqs) entries.push_back({seq, new_tokens});
    const absl::Status begun = engine_->BeginPass(mode, entries);
    ASSERT_TRUE(begun.ok()) << begun;
    const size_t tokens = seqs.size() * new_tokens;
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      const std::vector<float> query = Rows(random_, tokens * kQueryHeads * kDim);
      const std::vector<float> k = Rows(random_, tokens * kKvHeads * kDim);
      const std::vector<float> v = Rows(random_, tokens * kKvHeads * kDim);
      std::vector<float> output(tokens * kQueryHeads * kDim, std::nanf(""));
      const absl::Status attended = engine_->AttendLayer(layer, {query.data(), k.data(), v.data()},
                                                         {.output = output.data(), .lse = nullptr});
      ASSERT_TRUE(attended.ok()) << attended;
      for (size_t i = 0; i < seqs.size(); ++i) {
        const size_t first = i * new_tokens;
        oracles[i].Append(layer, k.data() + first * kKvHeads * kDim,
                          v.data() + first * kKvHeads * kDim, new_tokens);
        const auto position = static_cast<int64_t>(oracles[i].TokensOf(layer)) - 1;
        Compare(layer, oracles[i], query, output, first + new_tokens - 1,
                Seen(layer, position + 1));
      }
    }
    const absl::Status ended = engine_->EndPass(keep_or_discard);
    ASSERT_TRUE(ended.ok()) << ended;
    if (keep_or_discard == KeepOrDiscard::kKeep) return;
    for (Oracle& oracle : oracles) oracle.DropLast(new_tokens);
  }

  // Of the first `tokens` those that the layer's window and sinks have for the last of them.
  std::vector<int64_t> Seen(uint32_t layer, int64_t tokens) const {
    const attention::Window window = windows_.empty() ? attention::Window{} : windows_[layer];
    std::vector<int64_t> seen;
    for (int64_t t = 0; t < tokens; ++t) {
      const bool near = window.tokens == 0 || t + window.tokens >= tokens;
      if (near || t < window.sinks) seen.push_back(t);
    }
    return seen;
  }

  // `token`: the query's, among all of the pass.
  void Compare(uint32_t layer, const Oracle& oracle, const std::vector<float>& query,
               const std::vector<float>& output, size_t token, const std::vector<int64_t>& seen) {
    for (uint32_t head = 0; head < kQueryHeads; ++head) {
      const size_t row = (token * kQueryHeads + head) * kDim;
      const std::vector<double> expected = oracle.Attend(layer, query.data() + row, head, seen);
      for (uint32_t i = 0; i < kDim; ++i) {
        ASSERT_NEAR(output[row + i], expected[i], kTolerance)
            << "layer " << layer << " head " << head << " element " << i << " at token "
            << seen.back();
      }
    }
  }

  // A pass that appends a tree of drafts to `seq`; draft i follows draft parents[i], or the
  // sequence where that is -1. Every draft is checked.
  void DraftPass(Mode mode, kvp_seq seq, Oracle& oracle, const std::vector<int>& parents) {
    const auto count = static_cast<uint32_t>(parents.size());
    const auto base = static_cast<int64_t>(oracle.TokensOf(0));
    std::vector<uint64_t> bits(count);
    for (uint32_t i = 0; i < count; ++i) {
      bits[i] = uint64_t{1} << i;
      if (parents[i] >= 0) bits[i] |= bits[static_cast<size_t>(parents[i])];
    }
    const PassEntry entry{seq, count};
    const absl::Status begun = engine_->BeginPass(mode, {&entry, 1}, {bits.data(), 1});
    ASSERT_TRUE(begun.ok()) << begun;
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      const std::vector<float> query = Rows(random_, size_t{count} * kQueryHeads * kDim);
      const std::vector<float> k = Rows(random_, size_t{count} * kKvHeads * kDim);
      const std::vector<float> v = Rows(random_, size_t{count} * kKvHeads * kDim);
      std::vector<float> output(size_t{count} * kQueryHeads * kDim, std::nanf(""));
      const absl::Status attended = engine_->AttendLayer(layer, {query.data(), k.data(), v.data()},
                                                         {.output = output.data(), .lse = nullptr});
      ASSERT_TRUE(attended.ok()) << attended;
      oracle.Append(layer, k.data(), v.data(), count);
      for (uint32_t i = 0; i < count; ++i) {
        std::vector<int64_t> seen = Seen(0, base);
        for (uint32_t j = 0; j < count; ++j) {
          if ((bits[i] >> j & 1) != 0) seen.push_back(base + j);
        }
        Compare(layer, oracle, query, output, i, seen);
      }
    }
    const absl::Status ended = engine_->EndPass(KeepOrDiscard::kKeep);
    ASSERT_TRUE(ended.ok()) << ended;
  }

  TemporaryDirectory directory_;
  std::vector<attention::Window> windows_;
  std::unique_ptr<Daemon> daemon_;
  kvp_geometry geometry_{};
  kvp_client* client_ = nullptr;
  std::unique_ptr<AttentionEngine> engine_;
  std::mt19937_64 random_{17};
};

// 8 blocks in HBM, 12 in host memory, and a sequence of 33.
TEST_P(Attention, ASequenceLargerThanMemoryIsAttendedExactly) {
  Start({.blocks_hbm = 8, .blocks_host = 12, .blocks_nvme = 256});
  ASSERT_FALSE(HasFatalFailure());
  const std::vector<kvp_seq> seqs = {Open()};
  std::vector<Oracle> oracles(1);
  for (int pass = 0; pass < 16; ++pass) {
    Pass(GetParam(), seqs, oracles, 2 * kPageTokens);
    ASSERT_FALSE(HasFatalFailure());
  }
  for (int pass = 0; pass < 10; ++pass) {
    Pass(GetParam(), seqs, oracles, 1);
    ASSERT_FALSE(HasFatalFailure());
  }
  Pass(GetParam(), seqs, oracles, 5, KeepOrDiscard::kDiscard);
  Pass(GetParam(), seqs, oracles, 3);
  uint64_t tokens = 0;
  EXPECT_EQ(kvp_seq_length(client_, seqs[0], &tokens), KVP_OK);
  EXPECT_EQ(tokens, 16u * 2 * kPageTokens + 13);
}

// All tiers together hold 12 blocks. The engine's message says why, and nothing is left behind.
TEST_P(Attention, APassThatDoesNotFitLeavesTheSequenceAsItWas) {
  Start({.blocks_hbm = 4, .blocks_host = 4, .blocks_nvme = 4});
  ASSERT_FALSE(HasFatalFailure());
  const std::vector<kvp_seq> seqs = {Open()};
  std::vector<Oracle> oracles(1);
  Pass(GetParam(), seqs, oracles, 4 * kPageTokens);
  ASSERT_FALSE(HasFatalFailure());
  const std::vector<PassEntry> entries = {{seqs[0], 16 * kPageTokens}};
  ASSERT_TRUE(engine_->BeginPass(GetParam(), entries).ok());
  const size_t tokens = 16 * kPageTokens;
  const std::vector<float> rows = Rows(random_, tokens * kQueryHeads * kDim);
  std::vector<float> output(rows.size());
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    const absl::Status attended = engine_->AttendLayer(
        layer, {rows.data(), rows.data(), rows.data()}, {.output = output.data(), .lse = nullptr});
    ASSERT_TRUE(attended.ok()) << attended;
  }
  const absl::Status ended = engine_->EndPass(KeepOrDiscard::kKeep);
  EXPECT_EQ(ended.code(), absl::StatusCode::kResourceExhausted) << ended;
  uint64_t length = 0;
  EXPECT_EQ(kvp_seq_length(client_, seqs[0], &length), KVP_OK);
  EXPECT_EQ(length, 4u * kPageTokens);
  Pass(GetParam(), seqs, oracles, 1);
}

TEST_P(Attention, ABatchIsStreamedLikeOneLongSequence) {
  Start({.blocks_hbm = 8, .blocks_host = 12, .blocks_nvme = 256});
  ASSERT_FALSE(HasFatalFailure());
  const std::vector<kvp_seq> seqs = {Open(), Open(), Open()};
  std::vector<Oracle> oracles(3);
  for (int pass = 0; pass < 6; ++pass) {
    Pass(GetParam(), seqs, oracles, 21);
    ASSERT_FALSE(HasFatalFailure());
  }
}

// A new sequence among old ones has no block to be read: the others' pages are still theirs.
TEST_P(Attention, ASequenceThatBeginsLeavesItsNeighboursTheirPages) {
  Start({.blocks_hbm = 64, .blocks_host = 64, .blocks_nvme = 64});
  ASSERT_FALSE(HasFatalFailure());
  const std::vector<kvp_seq> old_seqs = {Open(), Open()};
  std::vector<Oracle> old_oracles(2);
  Pass(GetParam(), old_seqs, old_oracles, 40);
  ASSERT_FALSE(HasFatalFailure());
  std::vector<Oracle> oracles = {old_oracles[0], Oracle(), old_oracles[1]};
  Pass(GetParam(), {old_seqs[0], Open(), old_seqs[1]}, oracles, 3);
}

INSTANTIATE_TEST_SUITE_P(Modes, Attention, ::testing::Values(Mode::kStreamed, Mode::kSplit),
                         [](const auto& param) {
                           return param.param == Mode::kStreamed ? "streamed" : "split";
                         });

// In HBM of 8 blocks, unless all has to fit.
class AttentionAnywhere : public Attention {
 protected:
  void StartFor(Mode mode) {
    const uint32_t blocks_hbm = mode == Mode::kResident ? 64 : 8;
    Start({.blocks_hbm = blocks_hbm, .blocks_host = 12, .blocks_nvme = 256});
  }
  uint64_t LiveBlocks() {
    const auto status = tools::AskDaemon(daemon_->socket_path(), "attention_test");
    EXPECT_TRUE(status.ok()) << status.status();
    return status.ok() ? status->Counter("blocks_known") : 0;
  }
};

// Layers 1 to 3 see a window and some sinks, which new tokens, whole chunks and single blocks begin
// and end in at one time or another.
TEST_P(AttentionAnywhere, WindowsAndSinksAreKept) {
  windows_ = {{0, 0}, {40, 5}, {7, 0}, {33, 70}};
  StartFor(GetParam());
  ASSERT_FALSE(HasFatalFailure());
  const std::vector<kvp_seq> seqs = {Open(), Open()};
  std::vector<Oracle> oracles(2);
  for (const uint32_t tokens : {50u, 1u, 60u, 1u, 1u, 14u, 90u, 1u, 3u}) {
    Pass(GetParam(), seqs, oracles, tokens);
    ASSERT_FALSE(HasFatalFailure());
  }
}

// Speculative decoding: a tree of drafts, of which a path that is not contiguous is accepted; one
// that is rejected as a whole; and a fork that goes its own way. Nothing is left behind.
TEST_P(AttentionAnywhere, DraftsAreAcceptedInPartOrRolledBack) {
  StartFor(GetParam());
  ASSERT_FALSE(HasFatalFailure());
  const kvp_seq seq = Open();
  std::vector<Oracle> oracles(1);
  uint64_t tokens = 0;
  Pass(GetParam(), {seq}, oracles, 6 * kPageTokens - 3);
  for (int round = 0; round < 4; ++round) {
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_EQ(kvp_seq_length(client_, seq, &tokens), KVP_OK);
    //   0 - 1 - 3        4 - 5
    //     \ 2 - 6 - 7
    DraftPass(GetParam(), seq, oracles[0], {-1, 0, 0, 1, -1, 4, 2, 6});
    ASSERT_FALSE(HasFatalFailure());
    const std::vector<uint32_t> accepted = {0, 2, 6};
    ASSERT_EQ(kvp_seq_compact(client_, seq, 0, tokens, accepted.data(), accepted.size()), KVP_OK)
        << kvp_client_error(client_);
    oracles[0].KeepOnly(tokens, accepted);
    Pass(GetParam(), {seq}, oracles, 1);
  }
  ASSERT_EQ(kvp_seq_length(client_, seq, &tokens), KVP_OK);
  DraftPass(GetParam(), seq, oracles[0], {-1, 0, 1, 2, 3});
  ASSERT_EQ(kvp_seq_truncate(client_, seq, tokens), KVP_OK);
  oracles[0].KeepOnly(tokens, {});

  kvp_seq child = 0;
  ASSERT_EQ(kvp_seq_fork(client_, seq, &child), KVP_OK);
  oracles.push_back(oracles[0]);
  Pass(GetParam(), {seq, child}, oracles, 5);
  DraftPass(GetParam(), child, oracles[1], {-1, -1, 0});
  ASSERT_FALSE(HasFatalFailure());
  const uint64_t shared_blocks = tokens / kPageTokens;
  // Of its own each has the copied tail, the block behind it, and perhaps a credit.
  EXPECT_LE(LiveBlocks(), shared_blocks + 2 * 3);
  EXPECT_EQ(kvp_seq_close(client_, seq), KVP_OK);
  EXPECT_EQ(kvp_seq_close(client_, child), KVP_OK);
  for (int i = 0; i < 100 && LiveBlocks() > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(LiveBlocks(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Modes, AttentionAnywhere,
                         ::testing::Values(Mode::kStreamed, Mode::kSplit, Mode::kResident),
                         [](const auto& param) {
                           return param.param == Mode::kStreamed ? "streamed"
                                  : param.param == Mode::kSplit  ? "split"
                                                                 : "resident";
                         });

// By way of C: the same results, with the caller's threads, and misuse is told.
TEST_P(AttentionAnywhere, TheCFaceDoesTheSame) {
  StartFor(GetParam());
  ASSERT_FALSE(HasFatalFailure());
  kvp_attention_options options{};
  options.struct_size = sizeof options;
  options.query_heads = kQueryHeads;
  options.client = client_;
  options.geometry = &geometry_;
  options.workers = 2;
  options.run = [](void*, void (*work)(void*, int32_t), void* context) {
    std::thread other(work, context, 1);
    work(context, 0);
    other.join();
  };
  kvp_attention* attention = nullptr;
  ASSERT_EQ(kvp_attention_open(&options, &attention), KVP_OK) << kvp_attention_error(nullptr);
  const kvp_seq seq = Open();
  Oracle oracle;
  const auto mode = static_cast<int32_t>(GetParam());
  for (const uint32_t tokens : {150u, 1u, 3u}) {
    const kvp_attention_entry entry{seq, tokens};
    ASSERT_EQ(kvp_attention_begin(attention, mode, &entry, 1, nullptr), KVP_OK)
        << kvp_attention_error(attention);
    EXPECT_EQ(kvp_attention_begin(attention, mode, &entry, 1, nullptr), KVP_FAILED_PRECONDITION);
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      const std::vector<float> query = Rows(random_, size_t{tokens} * kQueryHeads * kDim);
      const std::vector<float> k = Rows(random_, size_t{tokens} * kKvHeads * kDim);
      const std::vector<float> v = Rows(random_, size_t{tokens} * kKvHeads * kDim);
      std::vector<float> output(query.size(), std::nanf(""));
      EXPECT_EQ(kvp_attention_layer(attention, layer + 1, query.data(), k.data(), v.data(),
                                    output.data(), nullptr),
                KVP_FAILED_PRECONDITION);
      ASSERT_EQ(kvp_attention_layer(attention, layer, query.data(), k.data(), v.data(),
                                    output.data(), nullptr),
                KVP_OK)
          << kvp_attention_error(attention);
      oracle.Append(layer, k.data(), v.data(), tokens);
      Compare(layer, oracle, query, output, tokens - 1,
              Seen(layer, static_cast<int64_t>(oracle.TokensOf(layer))));
    }
    ASSERT_EQ(kvp_attention_end(attention, 1), KVP_OK) << kvp_attention_error(attention);
    const char* why = nullptr;
    EXPECT_EQ(kvp_attention_mode(attention, &why), mode);
    EXPECT_STREQ(why, "asked for");
  }
  const kvp_attention_entry entry{seq, 1};
  EXPECT_EQ(kvp_attention_begin(attention, 7, &entry, 1, nullptr), KVP_INVALID_ARGUMENT);
  ASSERT_EQ(kvp_attention_begin(attention, mode, &entry, 1, nullptr), KVP_OK);
  EXPECT_EQ(kvp_attention_end(attention, 1), KVP_FAILED_PRECONDITION);
  EXPECT_NE(std::string(kvp_attention_error(attention)).find("0 of 4 layers"), std::string::npos);
  uint64_t tokens = 0;
  EXPECT_EQ(kvp_seq_length(client_, seq, &tokens), KVP_OK);
  EXPECT_EQ(tokens, 154u);
  kvp_attention_close(attention);

  options.query_heads = kKvHeads + 1;
  EXPECT_EQ(kvp_attention_open(&options, &attention), KVP_INVALID_ARGUMENT);
  EXPECT_EQ(attention, nullptr);
  EXPECT_NE(std::string(kvp_attention_error(nullptr)).find("3 query heads"), std::string::npos);
}

class ResidentAttention : public Attention {};
INSTANTIATE_TEST_SUITE_P(Modes, ResidentAttention, ::testing::Values(Mode::kAuto));

TEST_P(ResidentAttention, DoesTheSameWhereEverythingFits) {
  Start({.blocks_hbm = 64, .blocks_host = 64, .blocks_nvme = 64});
  ASSERT_FALSE(HasFatalFailure());
  const std::vector<kvp_seq> seqs = {Open(), Open()};
  std::vector<Oracle> oracles(2);
  for (const uint32_t tokens : {40u, 1u, 1u, 17u}) {
    Pass(GetParam(), seqs, oracles, tokens);
    ASSERT_FALSE(HasFatalFailure());
    EXPECT_EQ(engine_->mode(), Mode::kResident);
  }
  Pass(Mode::kStreamed, seqs, oracles, 9);
  Pass(Mode::kSplit, seqs, oracles, 2);
}

}  // namespace
}  // namespace kvpager::e2e
