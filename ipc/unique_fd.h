// ipc/unique_fd.h
//
// A file descriptor that is closed once. Ownership: moves; never copied. -1 is none.

#ifndef KVPAGER_IPC_UNIQUE_FD_H_
#define KVPAGER_IPC_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace kvpager {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool is_none() const { return fd_ < 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_UNIQUE_FD_H_
