// tiers/data_flusher.h
//
// What the catalogue asks before it commits a durable entry: that everything written to the data
// file so far survives a power cut. The page file answers; a pool without NVMe needs none.

#ifndef KVPAGER_TIERS_DATA_FLUSHER_H_
#define KVPAGER_TIERS_DATA_FLUSHER_H_

#include "absl/status/status.h"

namespace kvpager {

class DataFlusher {
 public:
  virtual ~DataFlusher() = default;

  // Blocks until every write that completed before the call is on the medium. Any thread. After
  // one failure it fails for ever: the kernel reports a lost write once only.
  virtual absl::Status Flush() = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_DATA_FLUSHER_H_
