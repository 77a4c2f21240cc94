// ipc/doorbell.h
//
// One end of a doorbell: a descriptor that polls readable once the other end has rung. A pair of
// connected unix sockets, each process with an end of its own.
//
// Not an eventfd, which both processes would share: whether a write to one blocks is up to a flag
// of the shared file, which a hostile engine can clear after it has filled the counter, and then
// the daemon would hang in its write. An end of a socket is nobody else's.
//
// Ownership: its descriptor. Thread-safety: one thread. Errors: kResourceExhausted no descriptors
// left; kInvalidArgument a descriptor that is no doorbell.

#ifndef KVPAGER_IPC_DOORBELL_H_
#define KVPAGER_IPC_DOORBELL_H_

#include <utility>

#include "absl/status/statusor.h"
#include "ipc/unique_fd.h"

namespace kvpager {

class Doorbell {
 public:
  // None: rings nobody and hears nothing.
  Doorbell() = default;
  // Our end, and the other side's.
  static absl::StatusOr<std::pair<Doorbell, UniqueFd>> MakePair();
  // The end that came from another process.
  static absl::StatusOr<Doorbell> Adopt(UniqueFd fd);

  int fd() const { return fd_.get(); }

  // Never blocks. An other end that has gone, or has been rung often enough, is left in peace.
  void Ring() const;

  // Takes in what was rung, so that fd() is silent until the next ring. False: the other end is
  // closed.
  bool Silence() const;

 private:
  explicit Doorbell(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace kvpager

#endif  // KVPAGER_IPC_DOORBELL_H_
