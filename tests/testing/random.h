// tests/testing/random.h
//
// A seeded generator for tests: the same seed gives the same numbers on every machine. Not for
// production code, which takes randomness as an input.

#ifndef KVPAGER_TESTS_TESTING_RANDOM_H_
#define KVPAGER_TESTS_TESTING_RANDOM_H_

#include <cstddef>
#include <cstdint>

#include "memmgr/base/check.h"

namespace kvpager::testing {

// The finalizer of SplitMix64: a bijection that spreads every bit.
constexpr uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

constexpr uint64_t Mix(uint64_t first, uint64_t second) { return Mix(Mix(first) ^ second); }

class Random {
 public:
  explicit Random(uint64_t seed) : state_(Mix(seed)) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15;
    return Mix(state_);
  }

  // In [0, bound). REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) {
    KVP_CHECK_GT(bound, uint64_t{0});
    return Next() % bound;
  }

  // In [low, high], both ends included.
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }

  // True `permille` times in a thousand.
  bool Chance(uint64_t permille) { return Below(1000) < permille; }

  template <typename Container>
  auto& Pick(Container& container) {
    return container[static_cast<size_t>(Below(container.size()))];
  }

 private:
  uint64_t state_;
};

}  // namespace kvpager::testing

#endif  // KVPAGER_TESTS_TESTING_RANDOM_H_
