// tests/sim/input_log.h
//
// Every input of a core as text, one line each, so that a failure can be replayed into a fresh core
// without the simulator: kvpager-sim --log FILE. A restart of the daemon starts a new "create"
// line.

#ifndef KVPAGER_TESTS_SIM_INPUT_LOG_H_
#define KVPAGER_TESTS_SIM_INPUT_LOG_H_

#include <string>

#include "absl/status/status.h"

namespace kvpager::sim {

// Opens `path` for recording; empty: records nothing. One recording per process.
absl::Status StartRecording(const std::string& path);
void SetVerbose(bool verbose);

bool Recording();
bool Verbose();
void RecordInput(const std::string& line);
void FlushRecording();

// Feeds the inputs of `path` to cores of their own and prints what they do.
absl::Status ReplayLog(const std::string& path);

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_INPUT_LOG_H_
