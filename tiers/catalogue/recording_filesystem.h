// tiers/catalogue/recording_filesystem.h
//
// RocksDB's own filesystem, with a record of what is written, flushed and named
// (memmgr/base/io_record.h). RocksDB's text log and its lock are left out.

#ifndef KVPAGER_TIERS_CATALOGUE_RECORDING_FILESYSTEM_H_
#define KVPAGER_TIERS_CATALOGUE_RECORDING_FILESYSTEM_H_

#include <rocksdb/env.h>

namespace kvpager {

// Null unless the environment asks for a record. One for the whole process.
rocksdb::Env* RecordingEnvFromEnvironment();

}  // namespace kvpager

#endif  // KVPAGER_TIERS_CATALOGUE_RECORDING_FILESYSTEM_H_
