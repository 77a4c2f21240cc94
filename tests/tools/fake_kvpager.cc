#include "tests/tools/fake_kvpager.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine_plugin/kvpager.h"
#include "memmgr/base/check.h"
#include "memmgr/base/geometry.h"
#include "tools/kvpager-replay/random.h"

struct kvp_client {
  std::string name_space;
  bool dead = false;
  std::set<kvp_step*> steps;  // Open; closing the client frees them.
};

namespace kvpager::replay {
namespace {

struct FakeSequence {
  uint64_t tokens = 0;
  std::vector<uint32_t> frames;  // [block, group]
};

struct Pool {
  FakeFaults faults;
  FakeCounts counts;
  Geometry geometry;
  uint32_t frames_hbm = 0;
  std::vector<uint8_t> memory;
  std::vector<uint32_t> free;
  std::map<kvp_seq, FakeSequence> sequences;
  std::map<std::string, std::vector<uint8_t>> cache;  // namespace + key -> pages of all groups
  kvp_seq next = 1;
  bool gone = false;

  uint64_t frame_bytes() const { return geometry.payload_bytes(); }
  uint8_t* Frame(uint32_t frame) { return memory.data() + frame * frame_bytes(); }
};
Pool g_pool;

std::string CacheKey(const kvp_client& client, const kvp_block_key& key) {
  const std::string name(reinterpret_cast<const char*>(key.bytes), sizeof key.bytes);
  return (g_pool.faults.leak_namespaces ? "" : client.name_space + "/") + name;
}

uint32_t TakeFrame() {
  KVP_CHECK(!g_pool.free.empty());
  const uint32_t frame = g_pool.free.back();
  g_pool.free.pop_back();
  return frame;
}

bool Grow(FakeSequence& sequence, uint64_t tokens) {
  const uint64_t blocks = CeilDiv(tokens, g_pool.geometry.page_tokens);
  const uint64_t frames = blocks * g_pool.geometry.num_groups();
  if (frames > sequence.frames.size() + g_pool.free.size()) return false;
  while (sequence.frames.size() < frames) sequence.frames.push_back(TakeFrame());
  return true;
}

void Shrink(FakeSequence& sequence, uint64_t tokens) {
  const uint64_t frames =
      CeilDiv(tokens, g_pool.geometry.page_tokens) * g_pool.geometry.num_groups();
  while (sequence.frames.size() > frames) {
    g_pool.free.insert(g_pool.free.begin(), sequence.frames.back());
    sequence.frames.pop_back();
  }
  sequence.tokens = std::min(sequence.tokens, tokens);
}

void MovePages(FakeSequence& sequence) {
  for (uint32_t& frame : sequence.frames) {
    if (g_pool.free.empty()) return;
    const uint32_t target = TakeFrame();
    std::memcpy(g_pool.Frame(target), g_pool.Frame(frame), g_pool.frame_bytes());
    const bool is_written = frame == sequence.frames[0] && sequence.tokens >= 4;
    if (++g_pool.counts.moves >= 10 && is_written && g_pool.faults.corrupt_moved) {
      g_pool.faults.corrupt_moved = false;
      g_pool.Frame(target)[77] ^= 4;
    }
    g_pool.free.insert(g_pool.free.begin(), frame);
    frame = target;
  }
}

void EmptyPool() {
  g_pool.sequences.clear();
  g_pool.cache.clear();
  g_pool.counts.sequences_open = 0;
  g_pool.counts.steps_open = 0;
  g_pool.free.clear();
  for (uint32_t i = g_pool.frames_hbm; i > 0; --i) g_pool.free.push_back(i - 1);
}

}  // namespace

void ResetFake(const FakeFaults& faults, uint32_t frames_hbm) {
  g_pool = Pool();
  g_pool.faults = faults;
  g_pool.frames_hbm = frames_hbm;
  EmptyPool();
}

const FakeCounts& FakeCounted() { return g_pool.counts; }

}  // namespace kvpager::replay

using kvpager::replay::FakeSequence;
using kvpager::replay::g_pool;

struct kvp_step {
  kvp_client* client;
  kvp_step_entry entry;
  bool failed = false;
  std::vector<int32_t> indices, positions;
  int32_t indptr[2] = {0, 0};
  int32_t last_page_len = 0;
};

extern "C" {

kvp_status kvp_client_open(const kvp_client_options* options, kvp_client** client) {
  *client = nullptr;
  if (g_pool.gone && g_pool.faults.stays_away) return KVP_UNAVAILABLE;
  g_pool.gone = false;
  ++g_pool.counts.attaches;
  g_pool.geometry.page_tokens = options->geometry->page_tokens;
  g_pool.geometry.num_layers = options->geometry->num_layers;
  g_pool.geometry.layers_per_page = options->geometry->layers_per_page;
  g_pool.geometry.num_kv_heads = options->geometry->num_kv_heads;
  g_pool.geometry.head_dim_k = options->geometry->head_dim_k;
  g_pool.geometry.head_dim_v = options->geometry->head_dim_v;
  g_pool.memory.resize(g_pool.frames_hbm * g_pool.frame_bytes());
  *client = new kvp_client{options->name_space, false, {}};
  return KVP_OK;
}
void kvp_client_close(kvp_client* client) {
  if (client == nullptr) return;
  for (kvp_step* step : client->steps) delete step;
  delete client;
}
const char* kvp_client_error(const kvp_client*) { return "a fault that the test asked for"; }
const char* kvp_last_error(void) { return "nobody is there"; }

kvp_status kvp_client_pool_info(kvp_client*, kvp_pool_info* info) {
  const kvpager::Geometry& g = g_pool.geometry;
  info->num_groups = g.num_groups();
  info->frames_hbm = g_pool.frames_hbm;
  info->frames_host = 0;
  info->blocks_nvme = 0;
  info->frame_bytes_hbm = g_pool.frame_bytes();
  const auto page = static_cast<int64_t>(g_pool.frame_bytes() / 2);
  const int64_t strides[3] = {page, int64_t{g.num_kv_heads} * g.head_dim_k, g.head_dim_k};
  std::copy(strides, strides + 3, info->k_strides);
  std::copy(strides, strides + 3, info->v_strides);
  return KVP_OK;
}

kvp_status kvp_client_layer(kvp_client*, int32_t, uint32_t layer, void** k, void** v) {
  const kvpager::Geometry& g = g_pool.geometry;
  uint8_t* const base = g_pool.memory.data() + layer % g.layers_per_page * g.layer_bytes();
  *k = base;
  *v = base + g.k_bytes();
  return KVP_OK;
}

kvp_status kvp_seq_open(kvp_client* client, const kvp_block_key* keys, size_t num_keys,
                        kvp_seq* seq, kvp_reuse* reuse) {
  if (client->dead) return KVP_UNAVAILABLE;
  FakeSequence sequence;
  size_t found = 0;
  while (found < num_keys) {
    const auto cached = g_pool.cache.find(kvpager::replay::CacheKey(*client, keys[found]));
    if (cached == g_pool.cache.end()) break;
    if (!kvpager::replay::Grow(sequence, (found + 1) * g_pool.geometry.page_tokens)) {
      kvpager::replay::Shrink(sequence, 0);
      return KVP_RESOURCE_EXHAUSTED;
    }
    const uint32_t groups = g_pool.geometry.num_groups();
    for (uint32_t group = 0; group < groups; ++group) {
      std::memcpy(g_pool.Frame(sequence.frames[found * groups + group]),
                  cached->second.data() + group * g_pool.frame_bytes(), g_pool.frame_bytes());
    }
    ++found;
  }
  ++g_pool.counts.opens;
  ++g_pool.counts.sequences_open;
  if (found > 0 && g_pool.faults.corrupt_at_open != 0 &&
      g_pool.counts.opens >= g_pool.faults.corrupt_at_open) {
    g_pool.faults.corrupt_at_open = 0;
    g_pool.Frame(sequence.frames[0])[1234] ^= 0x10;
  }
  sequence.tokens = found * g_pool.geometry.page_tokens;
  reuse->tokens = static_cast<uint32_t>(sequence.tokens);
  reuse->hit_blocks[KVP_TIER_HBM] = static_cast<uint32_t>(found);
  *seq = g_pool.next++;
  g_pool.sequences[*seq] = sequence;
  return KVP_OK;
}

kvp_status kvp_seq_length(kvp_client* client, kvp_seq seq, uint64_t* tokens) {
  if (client->dead) return KVP_UNAVAILABLE;
  *tokens = g_pool.sequences[seq].tokens;
  return KVP_OK;
}

kvp_status kvp_seq_name(kvp_client* client, kvp_seq seq, uint32_t first, const kvp_block_key* keys,
                        size_t num_keys, uint32_t, uint64_t) {
  if (client->dead) return KVP_UNAVAILABLE;
  FakeSequence& sequence = g_pool.sequences[seq];
  KVP_CHECK((first + num_keys) * g_pool.geometry.page_tokens <= sequence.tokens);
  const uint32_t groups = g_pool.geometry.num_groups();
  for (size_t i = 0; i < num_keys; ++i) {
    std::vector<uint8_t>& pages = g_pool.cache[kvpager::replay::CacheKey(*client, keys[i])];
    pages.clear();
    for (uint32_t group = 0; group < groups; ++group) {
      const uint8_t* frame = g_pool.Frame(sequence.frames[(first + i) * groups + group]);
      pages.insert(pages.end(), frame, frame + g_pool.frame_bytes());
    }
  }
  return KVP_OK;
}

kvp_status kvp_seq_close(kvp_client* client, kvp_seq seq) {
  if (client->dead) return KVP_UNAVAILABLE;
  kvpager::replay::Shrink(g_pool.sequences[seq], 0);
  g_pool.sequences.erase(seq);
  --g_pool.counts.sequences_open;
  return KVP_OK;
}

kvp_status kvp_step_begin(kvp_client* client, const kvp_step_options*, const kvp_step_entry* entry,
                          size_t, kvp_step** step) {
  *step = nullptr;
  if (client->dead) return KVP_UNAVAILABLE;
  ++g_pool.counts.begins;
  if (g_pool.faults.refuse_begin_every != 0 &&
      g_pool.counts.begins % g_pool.faults.refuse_begin_every == 0) {
    return KVP_RESOURCE_EXHAUSTED;
  }
  FakeSequence& sequence = g_pool.sequences[entry->seq];
  if (!kvpager::replay::Grow(sequence, sequence.tokens + entry->append_tokens)) {
    return KVP_RESOURCE_EXHAUSTED;
  }
  if (g_pool.faults.move_pages) kvpager::replay::MovePages(sequence);
  ++g_pool.counts.steps_open;
  *step = new kvp_step{client, *entry, false, {}, {}, {0, 0}, 0};
  client->steps.insert(*step);
  return KVP_OK;
}

kvp_status kvp_step_wait(kvp_step* step, uint64_t) {
  if (step->client->dead) return KVP_UNAVAILABLE;
  ++g_pool.counts.waits;
  if (g_pool.counts.waits == g_pool.faults.unavailable_at_wait) {
    step->client->dead = true;
    g_pool.gone = true;
    kvpager::replay::EmptyPool();
    return KVP_UNAVAILABLE;
  }
  if (g_pool.counts.waits == g_pool.faults.lose_at_wait) {
    FakeSequence& sequence = g_pool.sequences[step->entry.seq];
    const uint64_t blocks = sequence.tokens / g_pool.geometry.page_tokens;
    kvpager::replay::Shrink(sequence, blocks / 2 * g_pool.geometry.page_tokens);
    step->failed = true;
    return KVP_DATA_LOSS;
  }
  return KVP_OK;
}

kvp_status kvp_step_view(kvp_step* step, uint32_t group, int32_t, kvp_view* view) {
  const FakeSequence& sequence = g_pool.sequences[step->entry.seq];
  const uint32_t page_tokens = g_pool.geometry.page_tokens;
  const uint64_t tokens = sequence.tokens + step->entry.append_tokens;
  const auto blocks = static_cast<uint32_t>(kvpager::CeilDiv(tokens, page_tokens));
  const uint32_t end = static_cast<uint32_t>(
      std::min<uint64_t>(blocks, uint64_t{step->entry.first_block} + step->entry.num_blocks));
  step->indices.clear();
  step->positions.clear();
  for (uint32_t block = step->entry.first_block; block < end; ++block) {
    step->positions.push_back(static_cast<int32_t>(block));
    step->indices.push_back(static_cast<int32_t>(
        sequence.frames[uint64_t{block} * g_pool.geometry.num_groups() + group]));
  }
  if (++g_pool.counts.views >= 20 && g_pool.faults.wrong_view && step->indices.size() > 1) {
    g_pool.faults.wrong_view = false;
    std::swap(step->indices[0], step->indices[1]);
  }
  step->indptr[1] = static_cast<int32_t>(step->indices.size());
  step->last_page_len = static_cast<int32_t>(
      std::min<uint64_t>(page_tokens, tokens - uint64_t{end - 1} * page_tokens));
  view->batch_size = 1;
  view->page_tokens = static_cast<int32_t>(page_tokens);
  view->indptr = step->indptr;
  view->indices = step->indices.data();
  view->last_page_len = &step->last_page_len;
  view->positions = step->positions.data();
  return KVP_OK;
}

kvp_status kvp_step_get_times(kvp_step*, kvp_step_times* times) {
  times->queue_ns = 1000;
  return KVP_OK;
}

kvp_status kvp_step_end(kvp_step* step, int32_t keep) {
  const std::unique_ptr<kvp_step> owned(step);
  step->client->steps.erase(step);
  if (step->client->dead) return KVP_UNAVAILABLE;
  --g_pool.counts.steps_open;
  FakeSequence& sequence = g_pool.sequences[step->entry.seq];
  if (step->failed) return KVP_OK;
  if (keep == KVP_STEP_KEEP) sequence.tokens += step->entry.append_tokens;
  kvpager::replay::Shrink(sequence, sequence.tokens);
  return KVP_OK;
}

// Not a digest, but it tells chains apart.
void kvp_hash_block(const kvp_block_key* parent, const uint32_t* tokens, size_t num_tokens,
                    kvp_block_key* key) {
  uint64_t words[4] = {1, 2, 3, 4};
  if (parent != nullptr) std::memcpy(words, parent->bytes, sizeof words);
  for (size_t i = 0; i < num_tokens; ++i) {
    for (uint64_t& word : words) word = kvpager::replay::MixTogether(word, tokens[i]);
  }
  std::memcpy(key->bytes, words, sizeof words);
}

}  // extern "C"
