#include "tiers/nvme/uring.h"

#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"

namespace kvpager {

absl::StatusOr<std::unique_ptr<Uring>> Uring::Create(uint32_t entries) {
  auto uring = std::unique_ptr<Uring>(new Uring());
  // The best first. Deferred task work keeps completions on the owner's thread (Linux 6.1).
  const struct {
    unsigned flags;
    const char* name;
  } choices[] = {
      {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
       "single issuer, deferred task work"},
      {IORING_SETUP_SINGLE_ISSUER, "single issuer"},
      {0, "plain"},
  };
  int error = 0;
  for (const auto& choice : choices) {
    error = -io_uring_queue_init(entries, &uring->ring_, choice.flags | IORING_SETUP_R_DISABLED);
    if (error == 0) {
      uring->detail_ = absl::StrCat("io_uring (", choice.name, ")");
      return uring;
    }
    if (error != EINVAL) break;
  }
  uring->ring_.ring_fd = -1;
  return absl::UnavailableError(
      absl::StrCat("io_uring is refused: ", std::strerror(error),
                   error == EPERM ? " (a seccomp filter, or kernel.io_uring_disabled)" : ""));
}

Uring::~Uring() {
  if (ring_.ring_fd >= 0) io_uring_queue_exit(&ring_);
}

void Uring::SetFile(int fd) {
  file_fd_ = fd;
  const int result = io_uring_register_files(&ring_, &fd, 1);
  file_registered_ = result == 0;
  absl::StrAppend(&detail_, file_registered_
                                ? std::string(", registered file")
                                : absl::StrCat(", unregistered file: ", std::strerror(-result)));
}

int Uring::RegisterBuffers(absl::Span<const struct iovec> buffers) {
  return -io_uring_register_buffers(&ring_, buffers.data(), static_cast<unsigned>(buffers.size()));
}

// By hand: liburing 2.3 declares io_uring_enable_rings but its shared library lacks it.
void Uring::Enable() {
  KVP_CHECK_EQ(
      syscall(__NR_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0), 0);
}

struct io_uring_sqe* Uring::NextEntry() {
  struct io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  KVP_CHECK(sqe != nullptr);
  return sqe;
}

void Uring::Read(const Request& request) {
  struct io_uring_sqe* sqe = NextEntry();
  const int fd = file_registered_ ? 0 : file_fd_;
  if (request.buffer_index >= 0) {
    io_uring_prep_read_fixed(sqe, fd, request.buffer, request.bytes, request.offset_bytes,
                             request.buffer_index);
  } else {
    io_uring_prep_read(sqe, fd, request.buffer, request.bytes, request.offset_bytes);
  }
  Finish(sqe, request.tag);
}

void Uring::Write(const Request& request) {
  struct io_uring_sqe* sqe = NextEntry();
  const int fd = file_registered_ ? 0 : file_fd_;
  if (request.buffer_index >= 0) {
    io_uring_prep_write_fixed(sqe, fd, request.buffer, request.bytes, request.offset_bytes,
                              request.buffer_index);
  } else {
    io_uring_prep_write(sqe, fd, request.buffer, request.bytes, request.offset_bytes);
  }
  Finish(sqe, request.tag);
}

void Uring::Finish(struct io_uring_sqe* sqe, uint64_t tag) {
  if (file_registered_) sqe->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data64(sqe, tag);
}

void Uring::ReadEventFd(int fd, uint64_t* value, uint64_t tag) {
  struct io_uring_sqe* sqe = NextEntry();
  io_uring_prep_read(sqe, fd, value, sizeof(*value), 0);
  io_uring_sqe_set_data64(sqe, tag);
}

void Uring::Submit(uint32_t results_min) {
  const int result = results_min > 0 ? io_uring_submit_and_wait(&ring_, results_min)
                                     : io_uring_submit_and_get_events(&ring_);
  // A full completion queue or a signal: the caller takes what is there and comes again.
  KVP_CHECK(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY);
}

bool Uring::Next(Result& result) {
  struct io_uring_cqe* cqe = nullptr;
  if (io_uring_peek_cqe(&ring_, &cqe) != 0 || cqe == nullptr) return false;
  result = {.tag = io_uring_cqe_get_data64(cqe), .value = cqe->res};
  io_uring_cqe_seen(&ring_, cqe);
  return true;
}

}  // namespace kvpager
