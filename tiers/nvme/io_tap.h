// tiers/nvme/io_tap.h
//
// A place between a page file and its device where a test can stand: it hears of each request
// before it goes to the kernel and decides what the executor is told of it afterwards. Null outside
// tests, which then costs one comparison per request.
//
//   Starts(request) -> the kernel reads or writes -> Ends(request, result) -> the executor
//
// Ownership: belongs to whoever made it, and outlives the page file. Thread-safety: its methods are
// called by several threads at once. Errors: what it returns in the place of the kernel's answer.

#ifndef KVPAGER_TIERS_NVME_IO_TAP_H_
#define KVPAGER_TIERS_NVME_IO_TAP_H_

#include <cstddef>
#include <cstdint>

namespace kvpager {

struct IoRequest {
  bool write = false;
  uint64_t offset_bytes = 0;  // In the page file.
  uint32_t bytes = 0;
  const std::byte* buffer = nullptr;  // Of a write: what is written. Of a read: where it goes.
};

class IoTap {
 public:
  virtual ~IoTap() = default;

  // Right before the request is handed to the kernel.
  virtual void Starts(const IoRequest& request) = 0;

  // Bytes moved, or -errno: what the executor is to take for the kernel's `result`.
  virtual int64_t Ends(const IoRequest& request, int64_t result) = 0;

  // Around each flush of the page file: 0 or an errno, what its owner is to take for `error`.
  virtual void FlushStarts() = 0;
  virtual int FlushEnds(int error) = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_IO_TAP_H_
