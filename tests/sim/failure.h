// tests/sim/failure.h
//
// What happens when the simulator finds a bug: it says what is wrong and prints one line, the
// command that shows it again, then ends the process. A failed CHECK of the core ends the same way.

#ifndef KVPAGER_TESTS_SIM_FAILURE_H_
#define KVPAGER_TESTS_SIM_FAILURE_H_

#include <cstdint>
#include <string>

namespace kvpager::sim {

// From here on a failure is blamed on `command_line`. Also catches SIGABRT and SIGSEGV.
void SetReproduction(const std::string& command_line);

// Called first by a failure, so that what was recorded reaches the disk.
void SetLastWords(void (*last_words)());

[[noreturn]] void Fail(const std::string& what);

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_FAILURE_H_
