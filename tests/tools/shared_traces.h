// tests/tools/shared_traces.h
//
// Where published request traces are, on a machine that has them: $KVPAGER_TRACES, else
// ../shared/traces beside the checkout. They are never part of the project; tests that want one
// skip where there is none.

#ifndef KVPAGER_TESTS_TOOLS_SHARED_TRACES_H_
#define KVPAGER_TESTS_TOOLS_SHARED_TRACES_H_

#include <unistd.h>

#include <cstdlib>
#include <string>

namespace kvpager::replay {

inline constexpr char kNoSharedTraces[] =
    "the published traces are not here: set KVPAGER_TRACES to their folder";

// Empty if it is not there.
inline std::string SharedTrace(const std::string& name) {
  const char* const folder = std::getenv("KVPAGER_TRACES");
  const std::string path =
      (folder != nullptr ? std::string(folder)
                         : std::string(KVPAGER_SOURCE_FOLDER) + "/../shared/traces") +
      "/" + name;
  return access(path.c_str(), R_OK) == 0 ? path : std::string();
}

}  // namespace kvpager::replay

#endif  // KVPAGER_TESTS_TOOLS_SHARED_TRACES_H_
