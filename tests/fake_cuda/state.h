// tests/fake_cuda/state.h
//
// What the fake driver knows. One lock guards everything; operations of streams run under it, one
// at a time, on a thread of the library.

#ifndef KVPAGER_TESTS_FAKE_CUDA_STATE_H_
#define KVPAGER_TESTS_FAKE_CUDA_STATE_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "memmgr/cuda/abi.h"
#include "tests/fake_cuda/fake_cuda.h"

namespace kvpager::fake_cuda {

using cuda::DevicePointer;
using cuda::Result;

struct Allocation {
  int fd = -1;
  uint64_t bytes = 0;
  bool own = false;  // Created here, not imported.
  bool held = true;  // Its handle is not released.
  uint32_t maps = 0;
};

struct Mapping {
  uint64_t bytes = 0;
  uint64_t handle = 0;
  std::byte* alias = nullptr;  // Where this library reads and writes it.
  bool accessible = false;
};

struct FakeStream {
  std::deque<std::function<void()>> queue;
};

struct FakeEvent {
  uint64_t pending = 0;  // Records that no stream has reached.
};

struct Failure {
  int error = 0;
  int after = 0;
  int count = 0;
};

class State final : public Control {
 public:
  static State& Get();

  // The lock, held; every entry point takes it through Enter.
  using Lock = std::unique_lock<std::mutex>;
  enum class Needs { kNothing, kInit, kContext };
  // What the call must answer at once; kSuccess: go on.
  Result Enter(const char* entry, Needs needs, Lock& lock);
  // Counts and passes on an answer that says the caller is wrong.
  Result Misuse(Result error);

  void Fail(const char* entry, int error, int after, int count) override;
  void Hold() override;
  bool RunOne() override;
  void Go() override;
  void LoseDevice() override;
  void Reset() override;
  Live live() override;
  Counts counts() override;

  // ---- memory.cc. The lock is held.
  bool IsReserved(DevicePointer at, uint64_t bytes) const;
  // Of a copy: kSuccess if all of it may be touched. `pageable` is set if it is ordinary memory.
  Result CheckRange(DevicePointer at, uint64_t bytes, bool& pageable) const;
  // Where the bytes lie, and how many follow there; null if they are gone.
  std::byte* Find(DevicePointer at, uint64_t& bytes) const;
  void Copy(DevicePointer target, DevicePointer source, uint64_t bytes);
  void Fill(DevicePointer target, uint8_t value, uint64_t bytes);
  void DropIfUnused(uint64_t handle);

  // ---- streams.cc
  void Enqueue(FakeStream& stream, std::function<void()> operation);
  void Drain(FakeStream& stream, Lock& lock);

  bool initialized = false;
  bool lost = false;
  uint64_t memory_bytes = 0;
  int64_t copies_until_lost = -1;
  uint64_t context_references = 0;
  std::map<DevicePointer, uint64_t> reservations;
  std::map<DevicePointer, Mapping> mappings;
  std::map<uint64_t, Allocation> allocations;
  uint64_t handle_next = 1;
  std::map<uint64_t, uint64_t> registrations;
  std::map<uint64_t, uint64_t> host_allocations;
  std::map<void*, FakeStream> streams;
  std::map<void*, FakeEvent> events;
  Counts counted;

 private:
  State();
  bool RunNext(Lock& lock);
  void Work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable ran_;
  bool working_ = false;
  bool held_ = false;
  void* last_stream_ = nullptr;
  std::map<std::string, Failure> failures_;
};

// This thread's current contexts, innermost last.
std::deque<cuda::Context>& CurrentContexts();

}  // namespace kvpager::fake_cuda

#endif  // KVPAGER_TESTS_FAKE_CUDA_STATE_H_
