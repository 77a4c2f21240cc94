// tests/crash/power_cut.h
//
// The disk that a power cut leaves behind, out of a record of what the daemon asked of it
// (memmgr/base/io_record.h): what was flushed is there; of the rest a device keeps what it likes,
// in any order, whole writes or single sectors of them.
//
//   page file   each write that no flush covers is kept, lost, or kept in some sectors of 512 bytes
//   catalogue   names as of some moment after the last flush of the folder; of each file what was
//               flushed, then some, all or none of the rest, or zeroes in its place
//
// Errors: a file that cannot be written is a CHECK.

#ifndef KVPAGER_TESTS_CRASH_POWER_CUT_H_
#define KVPAGER_TESTS_CRASH_POWER_CUT_H_

#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "memmgr/base/io_record.h"

namespace kvpager::crash {

struct PowerCut {
  std::string before;  // The NVMe folder as it was when the record began.
  std::string image;   // The folder to make.
  const std::vector<IoEntry>* entries = nullptr;
  size_t entries_seen = 0;  // The cut comes behind these.
};

void MakeImage(const PowerCut& cut, std::mt19937_64& random);

}  // namespace kvpager::crash

#endif  // KVPAGER_TESTS_CRASH_POWER_CUT_H_
