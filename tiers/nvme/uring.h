// tiers/nvme/uring.h
//
// An io_uring of one thread: set-up with what this kernel offers, registration, and the requests
// that frames need. It is made disabled, so that one thread can register things and another, its
// owner from then on, can Enable it and submit.
//
// Thread-safety: after Enable, the thread that called it. Errors: Create says why io_uring is
// refused; requests report through their tag.

#ifndef KVPAGER_TIERS_NVME_URING_H_
#define KVPAGER_TIERS_NVME_URING_H_

#include <liburing.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace kvpager {

class Uring {
 public:
  struct Request {
    std::byte* buffer = nullptr;
    uint32_t bytes = 0;
    uint64_t offset_bytes = 0;  // In the file.
    int buffer_index = -1;      // Of a registered buffer that contains `buffer`; -1: none.
    uint64_t tag = 0;           // Comes back with the result.
  };

  struct Result {
    uint64_t tag = 0;
    int32_t value = 0;  // Bytes moved, or -errno.
  };

  // kUnavailable, with the kernel's reason.
  static absl::StatusOr<std::unique_ptr<Uring>> Create(uint32_t entries);
  ~Uring();
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // Before Enable. The file all requests go to.
  void SetFile(int fd);
  // Before Enable. An errno, or 0.
  int RegisterBuffers(absl::Span<const struct iovec> buffers);

  void Enable();

  // Queue a request; at most `entries` may be in flight.
  void Read(const Request& request);
  void Write(const Request& request);
  void ReadEventFd(int fd, uint64_t* value, uint64_t tag);  // When it becomes readable.

  // Hands queued requests to the kernel, waits until `results_min` of all are done, and lets the
  // kernel say what has ended.
  void Submit(uint32_t results_min);

  // Takes one result; false if there is none.
  bool Next(Result& result);

  const std::string& detail() const { return detail_; }

 private:
  Uring() = default;
  struct io_uring_sqe* NextEntry();
  void Finish(struct io_uring_sqe* sqe, uint64_t tag);

  struct io_uring ring_ {};
  int file_fd_ = -1;
  bool file_registered_ = false;
  std::string detail_;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_NVME_URING_H_
