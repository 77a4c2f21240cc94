// memmgr/daemon/counters.h
//
// Every counter and gauge by its name, as kvpagerctl shows them; docs/OPERATIONS.md has a sentence
// for each. Names never change their meaning.

#ifndef KVPAGER_MEMMGR_DAEMON_COUNTERS_H_
#define KVPAGER_MEMMGR_DAEMON_COUNTERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "memmgr/core/metrics.h"
#include "memmgr/daemon/pool.h"
#include "memmgr/daemon/request_counts.h"

namespace kvpager {

struct NamedCounter {
  std::string name;
  uint64_t value = 0;
};

std::vector<NamedCounter> CoreCounters(const CoreMetrics& metrics);
std::vector<NamedCounter> PoolCounters(Pool& pool);  // Bytes moved, catalogue, restart.
std::vector<NamedCounter> ServerCounters(const RequestCounts& counts);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_COUNTERS_H_
