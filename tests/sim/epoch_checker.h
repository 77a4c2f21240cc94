// tests/sim/epoch_checker.h
//
// Visits every state that a variant of epoch_model.h can reach, breadth first, so that what it
// finds wrong it finds in as few moves as there can be. Deterministic: the same variant gives the
// same report.
//
// A deadlock is a state from which no final state can be reached. It is looked for when all states
// are known; that something which can finish does finish (fairness) is not shown.
//
// Memory: about 120 bytes for a state, freed when Explore returns.

#ifndef KVPAGER_TESTS_SIM_EPOCH_CHECKER_H_
#define KVPAGER_TESTS_SIM_EPOCH_CHECKER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "tests/sim/epoch_model.h"

namespace kvpager::epoch {

// What fits into 2 GiB.
inline constexpr size_t kStatesMax = 14'000'000;

struct Report {
  Verdict verdict = Verdict::kHolds;
  // False if there are more than kStatesMax states: then kHolds is said of those that were visited,
  // and deadlocks were not looked for.
  bool complete = true;
  size_t states_count = 0;
  size_t moves_covered = 0;  // What is wrong would show in more moves than these, if at all.
  size_t states_dead = 0;
  std::vector<std::string> trace;  // The moves that lead to what is wrong.
};

Report Explore(const Variant& variant);

}  // namespace kvpager::epoch

#endif  // KVPAGER_TESTS_SIM_EPOCH_CHECKER_H_
