// tests/sim/hits.h
//
// How many blocks the pager finds again, beside an ideal LRU cache with as many places as its NVMe
// tier, in virtual time. The tiers above hold copies of what is on NVMe (a page is written once)
// and what is still to be written, so the pager must find at least as many; it finds fewer if what
// leaves for good is not what was used longest ago. Deterministic, so a test may assert what it
// prints.

#ifndef KVPAGER_TESTS_SIM_HITS_H_
#define KVPAGER_TESTS_SIM_HITS_H_

namespace kvpager::sim {

// Prints the ratios. False if the pager finds fewer.
bool RunHits();

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_HITS_H_
