// tiers/catalogue/rocksdb_catalogue.h
//
// The Catalogue on RocksDB, on one thread of its own, with a bounded queue of hints in front.
// RocksDB adds its background threads for flushes and compactions; docs/THREADS.md lists them.
//
// A database that RocksDB finds corrupt is moved aside, to "<path>.corrupt-N", and a fresh one is
// made; detail() says so. The headers of the page file are the truth and a scan repairs it.
//
// Errors of Open: kFailedPrecondition (another pool's, or in use), kResourceExhausted (disk full),
// kPermissionDenied, kUnavailable.

#ifndef KVPAGER_TIERS_CATALOGUE_ROCKSDB_CATALOGUE_H_
#define KVPAGER_TIERS_CATALOGUE_ROCKSDB_CATALOGUE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "memmgr/base/geometry.h"
#include "tiers/catalogue/catalogue.h"

namespace kvpager {

struct RocksdbCatalogueOptions {
  std::string path;  // A folder; made if it does not exist. Its parent must.
  Geometry geometry;
  std::string model_fingerprint;
  DataFlusher* flusher = nullptr;  // Null: nothing to flush.
  uint32_t hints_max = 65536;      // Queued at once; durable writes are bounded by the core.
};

absl::StatusOr<std::unique_ptr<Catalogue>> OpenRocksdbCatalogue(
    const RocksdbCatalogueOptions& options);

}  // namespace kvpager

#endif  // KVPAGER_TIERS_CATALOGUE_ROCKSDB_CATALOGUE_H_
