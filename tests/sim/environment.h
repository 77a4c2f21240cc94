// tests/sim/environment.h
//
// What all engines of one world share: the clock, the dice, the frames, the conversations that they
// continue, and the promises that a durable name makes.

#ifndef KVPAGER_TESTS_SIM_ENVIRONMENT_H_
#define KVPAGER_TESTS_SIM_ENVIRONMENT_H_

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "memmgr/core/limits.h"
#include "tests/sim/content.h"
#include "tests/sim/fake_tiers.h"
#include "tests/sim/frame_watch.h"
#include "tests/sim/options.h"
#include "tests/testing/random.h"

namespace kvpager::sim {

// A few texts per namespace, which share prefixes; engines open sequences with their keys.
class Conversations {
 public:
  Conversations(const SimOptions& options, testing::Random& random);

  const std::vector<Token>& text(NamespaceId owner, uint32_t index) const {
    return texts_[owner.value][index];
  }
  // What the next request of this conversation will start with.
  void Replace(NamespaceId owner, uint32_t index, const std::vector<Token>& tokens) {
    texts_[owner.value][index] = tokens;
  }
  Token Fresh() { return testing::Mix(++tokens_made_, 0x70ce17); }

 private:
  std::vector<std::vector<std::vector<Token>>> texts_;
  uint64_t tokens_made_ = 0;
};

// Prefixes whose durable name was acknowledged.
struct Promise {
  NamespaceId owner;
  std::vector<BlockKey> keys;
  std::vector<Token> tokens;
};

class Promises {
 public:
  void Add(const Promise& promise) {
    for (const BlockKey& key : promise.keys) keys_.insert({key.words[0], key.words[1]});
    all_.push_back(promise);
  }
  const std::vector<Promise>& all() const { return all_; }
  // How many of the first keys must be found.
  size_t Prefix(const std::vector<BlockKey>& keys) const {
    size_t count = 0;
    while (count < keys.size() && keys_.count({keys[count].words[0], keys[count].words[1]}) > 0) {
      ++count;
    }
    return count;
  }

 private:
  std::vector<Promise> all_;
  std::set<std::pair<uint64_t, uint64_t>> keys_;
};

// How often what happened, over the whole run: shows that a world is not asleep.
struct Tally {
  uint64_t steps_ready = 0;
  uint64_t steps_message_free = 0;
  uint64_t credits_used = 0;
  uint64_t steps_refused = 0;
  uint64_t steps_lost = 0;
  uint64_t rows_checked = 0;
  uint64_t tokens_reused = 0;
  uint64_t durable_names = 0;
  uint64_t losses = 0;
  uint64_t restarts = 0;
  uint64_t nvme_losses = 0;
  uint64_t engines_died = 0;
  uint64_t engines_revoked = 0;
  uint64_t rows_haunted = 0;  // Written by revoked engines.
  uint64_t refusals = 0;

  void Add(const Tally& other) {
    steps_ready += other.steps_ready;
    steps_message_free += other.steps_message_free;
    credits_used += other.credits_used;
    steps_refused += other.steps_refused;
    steps_lost += other.steps_lost;
    rows_checked += other.rows_checked;
    tokens_reused += other.tokens_reused;
    durable_names += other.durable_names;
    losses += other.losses;
    restarts += other.restarts;
    nvme_losses += other.nvme_losses;
    engines_died += other.engines_died;
    engines_revoked += other.engines_revoked;
    rows_haunted += other.rows_haunted;
    refusals += other.refusals;
  }
};

// A step that was refused because it does not fit: what it needed.
struct RoomRefusal {
  NamespaceId name_space;
  uint64_t blocks_needed = 0;
  uint64_t blocks_new = 0;
  bool split = false;
};

struct Environment {
  const SimOptions& options;
  const Limits& limits;
  testing::Random& random;
  FrameWatch& watch;
  FakeTiers& tiers;
  Conversations& conversations;
  Promises& promises;
  Tally& tally;
  uint64_t now_ns = 0;
  std::vector<RoomRefusal> room_refusals;  // Since the last input.
};

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_ENVIRONMENT_H_
