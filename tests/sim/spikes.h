// tests/sim/spikes.h
//
// How long steps wait, measured in virtual time: a real core with default watermarks, a load that
// asks for twice what NVMe can take, and links of fixed speed. Deterministic, so a test may assert
// what it prints.

#ifndef KVPAGER_TESTS_SIM_SPIKES_H_
#define KVPAGER_TESTS_SIM_SPIKES_H_

namespace kvpager::sim {

// Prints the measurements with their bounds. False if one is missed.
bool RunSpikes();

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_SPIKES_H_
