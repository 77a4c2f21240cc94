// tools/kvpager-decode/plain_links.h
//
// What the links can do with nobody in the way: reads of the same file, as large as the daemon's,
// with direct I/O and many at once, and copies from memory to memory. The limits that a token's
// time is compared with.
//
// Units: seconds, bytes. Thread-safety: one thread. Errors: those of the file and of io_uring.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_PLAIN_LINKS_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_PLAIN_LINKS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/unique_fd.h"
#include "tiers/nvme/aligned_buffer.h"
#include "tiers/nvme/uring.h"

namespace kvpager::decode {

class PlainLinks {
 public:
  // `nvme_file` empty: no reads.
  static absl::StatusOr<std::unique_ptr<PlainLinks>> Create(const std::string& nvme_file,
                                                            uint64_t page_bytes);

  // Reads `bytes`, rounded to pages, of the first `written_bytes` of the file, from where the last
  // call ended. Where nothing was ever written a disk has nothing to read.
  absl::StatusOr<double> ReadNvme(uint64_t bytes, uint64_t written_bytes);
  // Copies `bytes`, page by page, from a buffer that no cache holds.
  double Copy(uint64_t bytes);

 private:
  explicit PlainLinks(uint64_t page_bytes);
  void QueueRead(uint64_t slot, uint64_t written_bytes);

  static constexpr uint32_t kDepth = 64;
  static constexpr uint64_t kSourceBytes = uint64_t{256} << 20;

  const uint64_t page_bytes_;
  AlignedBuffer buffers_;  // Outlive the ring, which may still write to them.
  AlignedBuffer source_;
  AlignedBuffer target_;
  UniqueFd file_;
  std::unique_ptr<Uring> uring_;
  uint64_t read_offset_ = 0;
  uint64_t copy_offset_ = 0;
};

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_PLAIN_LINKS_H_
