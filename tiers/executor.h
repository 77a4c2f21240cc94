// tiers/executor.h
//
// Something that performs copies: the device, io_uring, or a fake. See memmgr/core/effect.h,
// E1..E6.
//
// Thread-safety: all calls come from the loop thread. An executor that needs threads of its own
// owns them, lists them in docs/THREADS.md and joins them in its destructor, after every operation
// has completed. Errors: construction returns a Status; afterwards only Completion::outcome.

#ifndef KVPAGER_TIERS_EXECUTOR_H_
#define KVPAGER_TIERS_EXECUTOR_H_

#include <cstddef>

#include "absl/types/span.h"
#include "memmgr/core/effect.h"

namespace kvpager {

class CopyExecutor {
 public:
  virtual ~CopyExecutor() = default;

  // Starts the copies, as one batch. Never blocks and never completes an operation itself (E4).
  virtual void Submit(absl::Span<const CopyOp> copies) = 0;

  // Moves finished operations into `out` and returns how many. Never blocks for long: an executor
  // that copies on the caller's thread does a bounded slice of work here.
  virtual size_t Poll(absl::Span<Completion> out) = 0;

  // True if Poll would have something to do although ready_fd stays silent: the loop must not
  // sleep.
  virtual bool wants_poll() const = 0;

  // Readable when Poll may have something to return; -1 if there is none. Owned by the executor.
  virtual int ready_fd() const = 0;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_EXECUTOR_H_
