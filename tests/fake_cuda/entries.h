// tests/fake_cuda/entries.h
//
// How every entry point of the fake driver begins.

#ifndef KVPAGER_TESTS_FAKE_CUDA_ENTRIES_H_
#define KVPAGER_TESTS_FAKE_CUDA_ENTRIES_H_

#include "tests/fake_cuda/state.h"

#define FAKE_CUDA __attribute__((visibility("default")))

// Takes the lock, and returns at once if the call cannot be made now or was told to fail.
#define ENTER(needs)                                                                        \
  State& state = State::Get();                                                              \
  State::Lock lock;                                                                         \
  if (const Result entered = state.Enter(__func__, needs, lock); entered != cuda::kSuccess) \
  return entered

#endif  // KVPAGER_TESTS_FAKE_CUDA_ENTRIES_H_
