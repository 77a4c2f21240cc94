#include "tests/engine_plugin/random_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {
namespace {

uint64_t Mix(uint64_t value) {
  value ^= value >> 31;
  value *= 0x9e3779b97f4a7c15u;
  value ^= value >> 29;
  value *= 0xbf58476d1ce4e5b9u;
  return value ^ value >> 32;
}

}  // namespace

RandomEngine::RandomEngine(kvp_client* client, const RandomEngineOptions& options)
    : client_(client), options_(options), random_(options.seed) {
  pool_.struct_size = sizeof(pool_);
  EXPECT_EQ(kvp_client_pool_info(client_, &pool_), KVP_OK);
  layers_per_group_ = kLayers / pool_.num_groups;
  stream_newest_ = options.seed << 32;
}

void RandomEngine::Run(int operations) {
  for (int i = 0; i < operations && !testing::Test::HasFatalFailure(); ++i) {
    Operate();
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "in operation " << i << " of seed " << options_.seed;
      return;
    }
  }
}

void RandomEngine::Operate() {
  if (sequences_.empty()) return Open();
  switch (Draw(16)) {
    case 0:
    case 1:
      return Open();
    case 2:
      return Speculate();
    case 3:
      return Truncate();
    case 4:
      return Fork();
    case 5:
      return ForkInStep();
    case 6:
    case 7:
      return Name();
    case 8:
      return SuspendAndResume();
    case 9:
      return Hint();
    case 10:
      return Close();
    case 11:
    case 12:
      return OverlappingSteps();
    default:
      return Step();
  }
}

void RandomEngine::Expect(kvp_status status, const char* what) {
  EXPECT_EQ(status, KVP_OK) << what << ": " << kvp_client_error(client_);
}

kvp_seq RandomEngine::Any() {
  return std::next(sequences_.begin(), Draw(static_cast<uint32_t>(sequences_.size())))->first;
}

std::vector<kvp_block_key> RandomEngine::KeysOf(const Rows& rows) const {
  std::vector<kvp_block_key> keys(rows.size() / kPageTokens);
  for (size_t block = 0; block < keys.size(); ++block) {
    std::vector<uint32_t> tokens;
    for (size_t i = block * kPageTokens; i < (block + 1) * kPageTokens; ++i) {
      for (const uint64_t part : {rows[i].stream, rows[i].token}) {
        tokens.push_back(static_cast<uint32_t>(part));
        tokens.push_back(static_cast<uint32_t>(part >> 32));
      }
    }
    kvp_hash_block(block == 0 ? nullptr : &keys[block - 1], tokens.data(), tokens.size(),
                   &keys[block]);
  }
  return keys;
}

void RandomEngine::Open() {
  if (sequences_.size() >= options_.sequences_max) return Close();
  Rows history;
  if (!named_.empty()) history = named_[Draw(static_cast<uint32_t>(named_.size()))];
  const std::vector<kvp_block_key> keys = KeysOf(history);
  kvp_seq seq = 0;
  kvp_reuse reuse{};
  reuse.struct_size = sizeof(reuse);
  Expect(kvp_seq_open(client_, keys.data(), keys.size(), &seq, &reuse), "open");
  ASSERT_LE(reuse.tokens, history.size());
  tokens_reused_ += reuse.tokens;
  history.resize(reuse.tokens);
  sequences_[seq] = history;
}

RandomEngine::OpenStep RandomEngine::Begin(const std::vector<kvp_seq>& sequences,
                                           uint32_t append_max, uint32_t draft) {
  OpenStep open;
  open.residency = Draw(3) == 0 ? KVP_SPLIT : KVP_RESIDENT;
  const uint64_t stream = ++stream_newest_;
  for (const kvp_seq seq : sequences) {
    Rows& rows = sequences_[seq];
    const auto room = static_cast<uint32_t>(options_.tokens_max -
                                            std::min<size_t>(options_.tokens_max, rows.size()));
    const uint32_t append = std::min(room, Draw(append_max + 1));
    open.entries.push_back({seq, append, draft, 0, KVP_ALL, 0, KVP_ALL});
    for (uint32_t i = 0; i < append; ++i) rows.push_back({stream + seq, rows.size()});
    open.rows.push_back(rows);
  }
  const kvp_step_options options = {sizeof(kvp_step_options), 0, open.residency};
  Expect(kvp_step_begin(client_, &options, open.entries.data(), open.entries.size(), &open.step),
         "begin");
  return open;
}

bool RandomEngine::Wait(OpenStep& open) {
  if (open.step == nullptr) return false;
  const kvp_status status = kvp_step_wait(open.step, kLongUs);
  Expect(status, "wait");
  if (status != KVP_OK) {
    for (size_t i = 0; i < open.entries.size(); ++i) {
      ADD_FAILURE() << "entry " << i << ": sequence " << open.entries[i].seq << ", "
                    << open.rows[i].size() << " tokens, " << open.entries[i].append_tokens
                    << " of them new, residency " << open.residency;
    }
  }
  return status == KVP_OK;
}

float RandomEngine::Value(const Origin& origin, bool is_v, uint32_t layer, uint32_t head,
                          uint32_t dim) {
  const uint64_t place = ((layer * 8 + head) * 64 + dim) * 2 + (is_v ? 1 : 0);
  const uint64_t mixed = Mix(Mix(origin.stream) + Mix(origin.token * 7919) + place);
  return static_cast<float>(mixed & 0xffffff);
}

float* RandomEngine::Row(int32_t tier, bool is_v, uint32_t layer, uint32_t head, int32_t frame,
                         uint32_t slot) {
  void* k = nullptr;
  void* v = nullptr;
  EXPECT_EQ(kvp_client_layer(client_, tier, layer, &k, &v), KVP_OK);
  const int64_t* strides = is_v ? pool_.v_strides : pool_.k_strides;
  const bool nhd = options_.layout == KVP_LAYOUT_NHD;
  return static_cast<float*>(is_v ? v : k) +
         frame * (tier == KVP_TIER_HBM ? strides[0] : pool_.host_page_stride) +
         slot * (nhd ? strides[1] : strides[2]) + head * (nhd ? strides[2] : strides[1]);
}

void RandomEngine::WriteList(const OpenStep& open, const kvp_view& view, uint32_t group) {
  for (size_t entry = 0; entry < open.entries.size(); ++entry) {
    const Rows& rows = open.rows[entry];
    const size_t first = rows.size() - open.entries[entry].append_tokens;
    for (int32_t j = view.indptr[entry]; j < view.indptr[entry + 1]; ++j) {
      for (uint32_t slot = 0; slot < kPageTokens; ++slot) {
        const size_t token = static_cast<size_t>(view.positions[j]) * kPageTokens + slot;
        if (token < first || token >= rows.size()) continue;
        for (uint32_t layer = group * layers_per_group_; layer < (group + 1) * layers_per_group_;
             ++layer) {
          for (uint32_t head = 0; head < kHeads; ++head) {
            float* k = Row(KVP_TIER_HBM, false, layer, head, view.indices[j], slot);
            float* v = Row(KVP_TIER_HBM, true, layer, head, view.indices[j], slot);
            for (uint32_t d = 0; d < kDimK; ++d) k[d] = Value(rows[token], false, layer, head, d);
            for (uint32_t d = 0; d < kDimV; ++d) v[d] = Value(rows[token], true, layer, head, d);
          }
        }
      }
    }
  }
}

void RandomEngine::CheckList(const OpenStep& open, const kvp_view& view, uint32_t group,
                             int32_t tier, std::vector<std::vector<int>>& seen) {
  ASSERT_EQ(static_cast<size_t>(view.batch_size), open.entries.size());
  for (size_t entry = 0; entry < open.entries.size(); ++entry) {
    const Rows& rows = open.rows[entry];
    for (int32_t j = view.indptr[entry]; j < view.indptr[entry + 1]; ++j) {
      const auto position = static_cast<size_t>(view.positions[j]);
      ASSERT_LT(position, seen[entry].size());
      ++seen[entry][position];
      if (tier == KVP_TIER_HOST) ++host_pages_seen_;
      for (size_t token = position * kPageTokens;
           token < std::min(rows.size(), (position + 1) * kPageTokens); ++token) {
        const auto slot = static_cast<uint32_t>(token % kPageTokens);
        for (uint32_t i = 0; i < layers_per_group_ * kHeads; ++i) {
          const uint32_t layer = group * layers_per_group_ + i / kHeads;
          const uint32_t head = i % kHeads;
          const float* k = Row(tier, false, layer, head, view.indices[j], slot);
          const float* v = Row(tier, true, layer, head, view.indices[j], slot);
          for (uint32_t d = 0; d < kDimK; ++d) {
            ASSERT_EQ(k[d], Value(rows[token], false, layer, head, d))
                << "K of token " << token << " of " << open.entries[entry].seq << ", tier " << tier;
          }
          for (uint32_t d = 0; d < kDimV; ++d) {
            ASSERT_EQ(v[d], Value(rows[token], true, layer, head, d))
                << "V of token " << token << " of " << open.entries[entry].seq << ", tier " << tier;
          }
        }
        ++rows_checked_;
      }
    }
    const int32_t last_len = view.last_page_len[entry];
    if (view.indptr[entry] == view.indptr[entry + 1]) {
      ASSERT_EQ(last_len, 0);
    } else {
      const auto last = static_cast<size_t>(view.positions[view.indptr[entry + 1] - 1]);
      ASSERT_EQ(static_cast<size_t>(last_len),
                std::min<size_t>(kPageTokens, rows.size() - last * kPageTokens));
    }
  }
}

void RandomEngine::WriteAndCheck(OpenStep& open) {
  for (uint32_t group = 0; group < pool_.num_groups; ++group) {
    kvp_view view{};
    view.struct_size = sizeof(view);
    std::vector<std::vector<int>> seen;
    for (const Rows& rows : open.rows) {
      seen.emplace_back((rows.size() + kPageTokens - 1) / kPageTokens, 0);
    }
    ASSERT_EQ(kvp_step_view(open.step, group, KVP_TIER_HBM, &view), KVP_OK)
        << kvp_client_error(client_);
    WriteList(open, view, group);
    ASSERT_NO_FATAL_FAILURE(CheckList(open, view, group, KVP_TIER_HBM, seen));
    ASSERT_EQ(kvp_step_view(open.step, group, KVP_TIER_HOST, &view), KVP_OK)
        << kvp_client_error(client_);
    ASSERT_NO_FATAL_FAILURE(CheckList(open, view, group, KVP_TIER_HOST, seen));
    for (const auto& pages : seen) {
      for (const int count : pages) ASSERT_EQ(count, 1);  // In exactly one list.
    }
  }
}

void RandomEngine::End(OpenStep& open, int32_t keep_or_discard) {
  if (open.step == nullptr) return;
  Expect(kvp_step_end(open.step, keep_or_discard), "end");
  if (keep_or_discard == KVP_STEP_KEEP) return;
  for (size_t i = 0; i < open.entries.size(); ++i) {
    Rows& rows = sequences_[open.entries[i].seq];
    const uint32_t append = open.entries[i].append_tokens;
    if (append == 0) continue;
    rows.resize(std::min(rows.size(), open.rows[i].size() - append));
  }
}

void RandomEngine::CheckLengths() {
  for (const auto& [seq, rows] : sequences_) {
    uint64_t tokens = 0;
    Expect(kvp_seq_length(client_, seq, &tokens), "length");
    ASSERT_EQ(tokens, rows.size()) << "of sequence " << seq;
  }
}

void RandomEngine::Step() {
  std::vector<kvp_seq> chosen;
  size_t blocks = 0;
  for (const auto& [seq, rows] : sequences_) {
    const size_t blocks_most = rows.size() / kPageTokens + 4;
    if (Draw(2) != 0 || blocks + blocks_most > options_.step_blocks_max) continue;
    blocks += blocks_most;
    chosen.push_back(seq);
  }
  if (chosen.empty()) chosen.push_back(Any());
  OpenStep open = Begin(chosen, Draw(4) == 0 ? 0 : 9, 0);
  if (Draw(12) == 0) return End(open, KVP_STEP_DISCARD);  // Ready or not.
  if (Wait(open)) WriteAndCheck(open);
  if (testing::Test::HasFailure()) return;
  End(open, Draw(8) == 0 ? KVP_STEP_DISCARD : KVP_STEP_KEEP);
  CheckLengths();
}

void RandomEngine::OverlappingSteps() {
  const std::vector<kvp_seq> chosen = {Any()};
  OpenStep first = Begin(chosen, 5, 0);
  OpenStep second = Begin(chosen, 5, 0);
  if (Wait(first)) WriteAndCheck(first);
  if (testing::Test::HasFailure()) return;
  const bool discard = Draw(6) == 0;
  if (Draw(2) == 0) {  // The first one ends before the second is ready, perhaps.
    End(first, discard ? KVP_STEP_DISCARD : KVP_STEP_KEEP);
    if (!discard && Wait(second)) WriteAndCheck(second);
  } else {
    // Where the tail must be copied first, the second one waits for the end of the first.
    const kvp_status early = kvp_step_wait(second.step, 20'000);
    if (early == KVP_OK) {
      WriteAndCheck(second);
    } else {
      EXPECT_EQ(early, KVP_DEADLINE_EXCEEDED) << kvp_client_error(client_);
    }
    End(first, discard ? KVP_STEP_DISCARD : KVP_STEP_KEEP);
    const bool dropped = discard && first.entries[0].append_tokens > 0;
    if (early != KVP_OK && !dropped && Wait(second)) WriteAndCheck(second);
  }
  if (testing::Test::HasFailure()) return;
  if (discard && first.entries[0].append_tokens > 0) {
    // What the second one appended is gone with the first.
    Expect(kvp_step_end(second.step, KVP_STEP_DISCARD), "end");
  } else {
    End(second, discard ? KVP_STEP_DISCARD : KVP_STEP_KEEP);
  }
  CheckLengths();
}

void RandomEngine::Speculate() {
  const kvp_seq seq = Any();
  const size_t base = sequences_[seq].size();
  OpenStep open = Begin({seq}, 9, 1);
  if (Wait(open)) WriteAndCheck(open);
  if (testing::Test::HasFailure()) return;
  End(open, KVP_STEP_KEEP);
  Rows& rows = sequences_[seq];
  std::vector<uint32_t> accepted;
  for (uint32_t i = 0; i < rows.size() - base; ++i) {
    // Rows of a block that another sequence shares cannot be moved: there a prefix is accepted.
    if (forked_.count(seq) != 0 || Draw(2) == 0) accepted.push_back(i);
  }
  Expect(kvp_seq_compact(client_, seq, 0, base, accepted.data(), accepted.size()), "compact");
  for (size_t i = 0; i < accepted.size(); ++i) rows[base + i] = rows[base + accepted[i]];
  rows.resize(base + accepted.size());
  CheckLengths();
}

void RandomEngine::Truncate() {
  const kvp_seq seq = Any();
  Rows& rows = sequences_[seq];
  rows.resize(Draw(static_cast<uint32_t>(rows.size()) + 1));
  Expect(kvp_seq_truncate(client_, seq, rows.size()), "truncate");
}

void RandomEngine::Fork() {
  if (sequences_.size() >= options_.sequences_max) return Close();
  const kvp_seq parent = Any();
  kvp_seq child = 0;
  Expect(kvp_seq_fork(client_, parent, &child), "fork");
  sequences_[child] = sequences_[parent];
  forked_.insert({parent, child});
}

void RandomEngine::ForkInStep() {
  if (sequences_.size() >= options_.sequences_max) return Close();
  const kvp_seq parent = Any();
  OpenStep open = Begin({parent}, 9, 0);
  if (Wait(open)) WriteAndCheck(open);
  if (testing::Test::HasFailure()) return;
  kvp_seq child = 0;
  Expect(kvp_seq_fork(client_, parent, &child), "fork");
  End(open, Draw(3) == 0 ? KVP_STEP_DISCARD : KVP_STEP_KEEP);
  sequences_[child] = sequences_[parent];
  forked_.insert({parent, child});
  CheckLengths();
}

void RandomEngine::Name() {
  const kvp_seq seq = Any();
  const Rows& rows = sequences_[seq];
  const std::vector<kvp_block_key> keys = KeysOf(rows);
  if (keys.empty()) return;
  const uint32_t first = Draw(static_cast<uint32_t>(keys.size()));
  const bool durable = options_.durable_names && Draw(4) == 0;
  Expect(kvp_seq_name(client_, seq, 0, keys.data(), first + 1, durable ? KVP_NAME_DURABLE : 0,
                      kLongUs),
         "name");
  Rows history(rows.begin(), rows.begin() + (first + 1) * kPageTokens);
  if (named_.size() < 20) {
    named_.push_back(history);
  } else {
    named_[Draw(20)] = history;
  }
}

void RandomEngine::SuspendAndResume() {
  const kvp_seq seq = Any();
  Expect(kvp_seq_suspend(client_, seq), "suspend");
  if (Draw(2) == 0) Expect(kvp_seq_evict(client_, seq, KVP_TIER_HOST), "evict");
  Expect(kvp_seq_resume(client_, seq), "resume");
}

void RandomEngine::Hint() {
  const kvp_seq seq = Any();
  // Only hints: refused ones are no failure, and are told by the next hint.
  if (Draw(2) == 0) {
    (void)!kvp_seq_prefetch(client_, seq, Draw(2) == 0 ? KVP_TIER_HBM : KVP_TIER_HOST, 0, 1);
  } else {
    const kvp_status status =
        kvp_seq_evict(client_, seq, KVP_TIER_HOST + static_cast<int>(Draw(2)));
    if (status != KVP_RESOURCE_EXHAUSTED && status != KVP_FAILED_PRECONDITION) {
      Expect(status, "evict");
    }
  }
}

void RandomEngine::Close() {
  const kvp_seq seq = Any();
  Expect(kvp_seq_close(client_, seq), "close");
  sequences_.erase(seq);
  forked_.erase(seq);
}

}  // namespace kvpager::engine
