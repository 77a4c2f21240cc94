// tiers/nvme/header_reader.h
//
// Reads many frame headers of a page file at once: by io_uring, or with a few threads and pread.
// Used by scan.cc.

#ifndef KVPAGER_TIERS_NVME_HEADER_READER_H_
#define KVPAGER_TIERS_NVME_HEADER_READER_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "memmgr/base/ids.h"
#include "tiers/nvme/frame_header.h"
#include "tiers/nvme/page_file.h"
#include "tiers/nvme/scan.h"

namespace kvpager {

struct ScannedHeader {
  enum class State : uint8_t { kInvalid, kEmpty, kValid };  // Invalid: unreadable counts too.
  State state = State::kInvalid;
  FrameIdentity identity;  // If valid.
};

class HeaderReader {
 public:
  virtual ~HeaderReader() = default;

  // Picks one; the threads need nothing that can be refused.
  static std::unique_ptr<HeaderReader> Create(const PageFile& file, const ScanOptions& options);

  // Fills headers[i] with what the header of frame first + i says. Blocks. kUnavailable if not a
  // single header could be read.
  virtual absl::Status Read(FrameIndex first, absl::Span<ScannedHeader> headers) = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_HEADER_READER_H_
