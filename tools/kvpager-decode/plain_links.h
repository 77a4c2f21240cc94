// tools/kvpager-decode/plain_links.h
//
// What the links can do with nobody in the way: reads of the same file, as large as the daemon's,
// with direct I/O and many at once, and copies from memory to memory. The limits that a token's
// time is compared with.
//
// Units: seconds, bytes. Thread-safety: one thread. Errors: those of the file and of io_uring.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_PLAIN_LINKS_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_PLAIN_LINKS_H_

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/unique_fd.h"

namespace kvpager::decode {

class PlainLinks {
 public:
  // `nvme_file` empty: no reads.
  ~PlainLinks();
  PlainLinks(const PlainLinks&) = delete;
  PlainLinks& operator=(const PlainLinks&) = delete;
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

  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  using Buffer = std::unique_ptr<std::byte[], Free>;
  static Buffer Allocate(uint64_t bytes);

  static constexpr uint32_t kDepth = 64;
  static constexpr uint64_t kSourceBytes = uint64_t{256} << 20;

  const uint64_t page_bytes_;
  const uint64_t source_bytes_;
  const uint64_t target_bytes_;
  Buffer buffers_;  // kDepth pages; outlive the ring, which may still write to them.
  Buffer source_;
  Buffer target_;
  UniqueFd file_;
  struct io_uring ring_ {};
  bool has_ring_ = false;
  uint64_t read_offset_ = 0;
  uint64_t copy_offset_ = 0;
};

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_PLAIN_LINKS_H_
