// tests/fake_cuda/fake_cuda.h
//
// A libcuda.so.1 without a GPU, which programs load in place of the driver. It keeps the driver's
// rules and answers misuse as the driver does: cuInit and a current context first, sizes that are
// multiples of the granularity, ranges that are reserved, then mapped, then made accessible, copies
// between ranges that hold, streams in order and beside each other, events. "Device memory" is a
// memfd, so its descriptors pass between processes; the CPU cannot follow the device's addresses,
// so whoever does by mistake dies.
//
// Environment, read when the library is first used:
//   KVPAGER_FAKE_CUDA_MEMORY  bytes of the one device, default 256 MiB
//   KVPAGER_FAKE_CUDA_FAIL    an entry point and an error, "cuMemHostRegister_v2=801": fails always
//   KVPAGER_FAKE_CUDA_LOSE    the device is lost behind so many copies
//
// Tests in the same process steer it through Steer(). Thread-safety: any thread.

#ifndef KVPAGER_TESTS_FAKE_CUDA_FAKE_CUDA_H_
#define KVPAGER_TESTS_FAKE_CUDA_FAKE_CUDA_H_

#include <cstddef>
#include <cstdint>

namespace kvpager::fake_cuda {

inline constexpr uint64_t kGranularityBytes = uint64_t{2} << 20;

// What exists now; all zero once everything was given back.
struct Live {
  uint64_t contexts = 0;
  uint64_t reservations = 0;
  uint64_t mappings = 0;
  uint64_t handles = 0;
  uint64_t allocation_bytes = 0;
  uint64_t registrations = 0;
  uint64_t host_allocations = 0;
  uint64_t streams = 0;
  uint64_t events = 0;
  friend bool operator==(const Live&, const Live&) = default;
};

struct Counts {
  uint64_t copies = 0;  // Executed; each of a batch is one.
  uint64_t batches = 0;
  uint64_t fills = 0;
  uint64_t pageable_copies = 0;  // From or to host memory that is not registered: slow in reality.
  uint64_t misuses = 0;          // Calls answered with INVALID_*: bugs of the caller.
};

class Control {
 public:
  // From its `after`-th next call on, `entry` fails `count` times with `error`.
  virtual void Fail(const char* entry, int error, int after, int count) = 0;
  // Streams stand still; RunOne executes the oldest operation of any stream. False: none waits.
  virtual void Hold() = 0;
  virtual bool RunOne() = 0;
  virtual void Go() = 0;
  // As after a fault of the device: everything fails until Reset.
  virtual void LoseDevice() = 0;
  // Forgets failures, losses and counts. What is live stays.
  virtual void Reset() = 0;
  virtual Live live() = 0;
  virtual Counts counts() = 0;

 protected:
  ~Control() = default;
};

// The library's own, by dlsym of "kvp_fake_cuda_control".
using ControlFunction = Control* (*)();

}  // namespace kvpager::fake_cuda

#endif  // KVPAGER_TESTS_FAKE_CUDA_FAKE_CUDA_H_
