// tools/kvpager-bench/cache_miss.h
//
// What a read of memory costs here that has to wait for the one before it and finds nothing in any
// cache: the measure of what a step with cold caches cannot avoid.
//
// Units: nanoseconds. Thread-safety: none.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_CACHE_MISS_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_CACHE_MISS_H_

#include <cstdint>

#include "tools/kvpager-bench/sample.h"

namespace kvpager::bench {

// One read, as the mean of a walk over 64 lines that lie about in 64 KiB, `count` times.
Samples MeasureCacheMiss(uint32_t count);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_CACHE_MISS_H_
