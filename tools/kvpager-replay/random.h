// tools/kvpager-replay/random.h
//
// A seeded generator and the few distributions that traffic needs, the same on every machine.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_RANDOM_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_RANDOM_H_

#include <cmath>
#include <cstdint>

namespace kvpager::replay {

// A bijection of 64-bit numbers in which every input bit reaches every output bit.
constexpr uint64_t Mix(uint64_t value) {
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93u;
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93u;
  value ^= value >> 32;
  return value;
}

constexpr uint64_t MixTogether(uint64_t first, uint64_t second) {
  return Mix(Mix(first + 0x9e3779b97f4a7c15u) ^ (second + 0xbf58476d1ce4e5b9u));
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(Mix(seed ^ 0x6b766167657200u)) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15u;
    return Mix(state_);
  }
  // In [0, bound). REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }
  // In (0, 1).
  double Unit() { return (static_cast<double>(Next() >> 11) + 0.5) * 0x1p-53; }
  // With the median exp(mu): half of the values are below.
  double Lognormal(double median, double sigma) {
    const double radius = std::sqrt(-2.0 * std::log(Unit()));
    return median * std::exp(sigma * radius * std::cos(6.283185307179586 * Unit()));
  }
  double Exponential(double mean) { return -mean * std::log(Unit()); }
  // How many more times, each time with `probability`.
  uint64_t Geometric(double probability) {
    return static_cast<uint64_t>(std::log(Unit()) / std::log(probability));
  }

 private:
  uint64_t state_;
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_RANDOM_H_
