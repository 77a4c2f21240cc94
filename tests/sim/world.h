// tests/sim/world.h
//
// One seed's world: a real core, fake tiers, a fake catalogue, several fake engines and a clock of
// its own. Everything that happens in it is a function of its options.
//
//   Run()   turns: engines act, operations finish, faults strike, the daemon restarts
//   Drain() faults stop; every step and request must come to its end; then nothing may be left
//
// After every input: page table writes, replies, copies, catalogue writes are executed in the order
// that effect.h demands, each checked, and Core::Verify is run. The core may not allocate.

#ifndef KVPAGER_TESTS_SIM_WORLD_H_
#define KVPAGER_TESTS_SIM_WORLD_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memmgr/core/core.h"
#include "tests/sim/engine.h"
#include "tests/sim/environment.h"
#include "tests/sim/fake_catalogue.h"
#include "tests/sim/fake_tiers.h"
#include "tests/sim/frame_watch.h"
#include "tests/sim/options.h"
#include "tests/testing/random.h"

namespace kvpager::sim {

class World {
 public:
  explicit World(const SimOptions& options);

  void Run();
  void Drain();
  const Tally& tally() const { return tally_; }

 private:
  // ---- world.cc
  void StartCore(const std::vector<RestoredBlock>& found, bool hints);
  std::vector<RestoredBlock> FindByHints();
  bool FeedHeaders();  // True if there were any left.
  void Turn();
  void StrikeFaults();
  void Restart();
  void Attach(size_t engine);
  void KillEngine(size_t engine);
  void RevokeEngine(size_t engine);
  void EndRevoked(size_t engine);
  void FeedCommand(const Command& command);
  void FeedCompletion(const Completion& completion);
  void FeedTick();
  void LoseNvme();
  void Execute();
  void ExecuteEffects();
  void ExecuteCredit(const CreditWrite& write);
  void FeedCreditAnswer();
  void NoteLanes(size_t engine);
  bool FeedLanes();  // True if that had any effect.
  bool DeliverOne();
  bool FinishOne();
  uint64_t NextDue() const;

  // ---- drain.cc
  uint64_t FramesFor(NamespaceId name, Tier tier) const;
  bool Settle();
  void CheckRoom(const RoomRefusal& refusal) const;
  void FinishEngines();
  void CheckNothingLeft();
  void FillMemory();
  void CheckPromises();
  std::string Describe() const;

  const SimOptions options_;
  testing::Random random_;
  bool draining_ = false;  // Nobody asks for anything of its own accord any more.
  Limits limits_;
  std::unique_ptr<Core> core_;
  Effects effects_;
  struct CreditAnswer {
    SequenceId sequence;
    bool taken = false;
  };
  std::deque<CreditAnswer> credit_answers_;
  std::optional<FrameWatch> watch_;
  std::optional<FakeTiers> tiers_;
  FakeCatalogue catalogue_;
  Conversations conversations_;
  Promises promises_;
  Tally tally_;
  std::optional<Environment> environment_;
  std::vector<std::unique_ptr<Engine>> engines_;
  uint64_t now_ns_ = 0;
  // Runs whose headers the core has not been shown, after a restart that believed the catalogue.
  struct UnreadRun {
    FoundRun run;
    bool last = false;
  };
  std::deque<UnreadRun> unread_;
  uint64_t incarnation_ = 0;
  uint64_t inputs_ = 0;
};

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_WORLD_H_
