// tests/sim/fake_catalogue.h
//
// A fake catalogue: a bounded queue in front of a map. Hints are applied late, and dropped when the
// queue is full; durable writes flush NVMe, are applied and complete.
//
// A clean stop applies what is queued; a crash forgets it, except for durable writes that
// completed.

#ifndef KVPAGER_TESTS_SIM_FAKE_CATALOGUE_H_
#define KVPAGER_TESTS_SIM_FAKE_CATALOGUE_H_

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "memmgr/core/core.h"
#include "memmgr/core/effect.h"
#include "tests/sim/fake_tiers.h"
#include "tests/sim/options.h"
#include "tests/testing/random.h"

namespace kvpager::sim {

class FakeCatalogue {
 public:
  FakeCatalogue(const SimOptions& options, testing::Random& random);

  void Submit(const CatalogueWrite& write, FakeTiers& tiers, uint64_t now_ns);
  uint64_t next_due_ns() const;
  // Applies the oldest write. True if it was a durable one, whose completion is in `completion`.
  bool FinishNext(Completion& completion);

  void StopFaults() { faults_ = Faults{}; }
  void Crash();
  void Stop();

  // Oldest last use first.
  std::vector<RestoredBlock> Entries() const;
  // Marks those blocks durable that an entry with the same stamp says are.
  void MarkDurable(std::vector<RestoredBlock>& blocks) const;

 private:
  using MapKey = std::pair<uint64_t, uint64_t>;
  struct Queued {
    CatalogueWrite write;
    uint64_t due_ns = 0;
  };

  void Apply(const CatalogueWrite& write);

  Faults faults_;
  testing::Random& random_;
  std::deque<Queued> queue_;
  std::map<MapKey, RestoredBlock> entries_;
};

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_FAKE_CATALOGUE_H_
