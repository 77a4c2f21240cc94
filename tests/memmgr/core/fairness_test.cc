// Proves that no engine starves another: counted in inputs of the core and in turns, not in time.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "memmgr/core/limits.h"
#include "tests/memmgr/core/served_core.h"

namespace kvpager {
namespace {

constexpr ClientId kGreedy{0};
constexpr ClientId kSmall{1};

PoolOptions Options() {
  PoolOptions options;
  options.page_tokens = kPageTokens;
  options.blocks_hbm = 120;
  options.blocks_host = 300;
  options.clients_max = 8;
  options.namespaces_max = 4;
  options.free_hbm = options.clean_hbm = options.free_host = options.clean_host = {0, 0};
  return options;
}

// The greedy engine closes 60 forks of a long sequence: thousands of pages of work, at 64 pages an
// input. Meanwhile the small one runs steps, each of which ends with a job of its own.
TEST(Fairness, WhoClosesLongSequencesDelaysNobodysSteps) {
  constexpr uint32_t kPagesPerInput = 64;
  constexpr uint32_t kForks = 60;
  constexpr uint32_t kTurnsMax = 2;  // A job waits for the other clients' slices only.
  ServedCore core(Options(), kPagesPerInput);
  core.Feed(kGreedy, AttachCommand{NamespaceId{0}});
  core.Feed(kSmall, AttachCommand{NamespaceId{1}});
  std::vector<SequenceId> forks = {core.Open(kGreedy)};
  ASSERT_TRUE(core.Step(kGreedy, forks[0], 100));
  for (uint32_t i = 0; i < kForks; ++i) {
    core.Feed(kGreedy, ForkCommand{.parent = forks[0]});
    forks.push_back(core.opened());
  }
  const SequenceId small = core.Open(kSmall);
  ASSERT_TRUE(core.Step(kSmall, small, 2));
  for (SequenceId fork : forks) core.Post(kGreedy, CloseCommand{.sequence = fork});
  uint32_t steps = 0;
  bool busy = true;
  while (busy && steps < 30) {
    core.PostBegin(kSmall, small, 0);
    uint32_t turns = 0;
    while (!core.answered(kSmall) && core.Turn()) ++turns;
    ASSERT_TRUE(core.answered(kSmall));
    EXPECT_LE(turns, kTurnsMax) << "step " << steps;
    core.PostEnd(kSmall);
    busy = core.Turn();
    ++steps;
  }
  EXPECT_GE(steps, 10u);  // While the closes went on.
}

// How many of the first `count` steps that became ready were the client's.
uint32_t Among(const std::vector<ClientId>& ready, size_t first, size_t count, ClientId client) {
  const auto begin = ready.begin() + static_cast<int64_t>(first);
  return static_cast<uint32_t>(std::count(begin, begin + static_cast<int64_t>(count), client));
}

// Both want frames all the time: one client each, with many steps waiting behind one that holds
// all of HBM.
class Turns {
 public:
  explicit Turns(const PoolOptions& options) : core(options) {
    core.Feed(kGreedy, AttachCommand{NamespaceId{0}});
    core.Feed(kSmall, AttachCommand{NamespaceId{1}});
    core.Feed(kHolder, AttachCommand{NamespaceId{2}});
  }

  void Hold(uint32_t blocks) { core.Begin(kHolder, core.Open(kHolder), blocks); }
  void Release() { core.End(kHolder); }
  // A step of one block in a sequence of its own; ended as soon as it is ready.
  void Want(ClientId client, uint32_t steps) {
    for (uint32_t i = 0; i < steps; ++i) core.Begin(client, core.Open(client), 1);
  }

  static constexpr ClientId kHolder{2};
  ServedCore core;
};

TEST(Fairness, NamespacesGetFramesByTheirShares) {
  PoolOptions options = Options();
  options.quotas.resize(2);
  options.quotas[0].share = 2;
  Turns turns(options);
  turns.Hold(120);
  turns.Want(kGreedy, 24);
  turns.Want(kSmall, 24);
  const size_t first = turns.core.ready().size();
  turns.Release();
  ASSERT_EQ(turns.core.ready().size(), first + 48);
  EXPECT_NEAR(Among(turns.core.ready(), first, 18, kGreedy), 12, 1);
  EXPECT_NEAR(Among(turns.core.ready(), first, 18, kSmall), 6, 1);
}

TEST(Fairness, ALateComerHasNoTurnsSavedUp) {
  Turns turns(Options());
  turns.Hold(60);
  turns.Hold(60);
  turns.Want(kGreedy, 100);
  turns.Release();  // 60 of them are served; the others wait when the late one comes.
  turns.Want(kSmall, 20);
  const size_t first = turns.core.ready().size();
  EXPECT_EQ(first, 2u + 60u);
  turns.Release();
  ASSERT_EQ(turns.core.ready().size(), first + 60);
  EXPECT_NEAR(Among(turns.core.ready(), first, 20, kSmall), 10, 1);
}

}  // namespace
}  // namespace kvpager
