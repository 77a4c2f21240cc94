// tools/kvpager-replay/progress.h
//
// One line that repaints itself, on a terminal only.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_PROGRESS_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_PROGRESS_H_

#include <cstdint>

#include "tools/kvpager-replay/metrics.h"

namespace kvpager::replay {

class Progress {
 public:
  // Shows nothing if `quiet`, or if standard error is not a terminal.
  Progress(uint64_t requests_total, bool quiet);
  ~Progress();  // Leaves a clean line.
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(const Metrics& metrics);

 private:
  const uint64_t requests_total_;
  const bool shown_;
  const uint64_t started_ns_;
  uint64_t painted_ns_ = 0;
};

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_PROGRESS_H_
