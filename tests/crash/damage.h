// tests/crash/damage.h
//
// Damage to data that was flushed, as a bad disk or a careless hand does it: the end of a file is
// missing, a stretch is zeroes, single bits are other ones. The first block of the page file is
// spared: without it the daemon refuses to start, which other tests show.

#ifndef KVPAGER_TESTS_CRASH_DAMAGE_H_
#define KVPAGER_TESTS_CRASH_DAMAGE_H_

#include <random>
#include <string>

namespace kvpager::crash {

// Damages the page file of the NVMe folder, or a file of its catalogue; says what it did.
std::string Damage(const std::string& folder, std::mt19937_64& random);

}  // namespace kvpager::crash

#endif  // KVPAGER_TESTS_CRASH_DAMAGE_H_
