// tests/fake_cuda/loaded.h
//
// The fake driver in this process. Once it is loaded by its path, whoever asks for libcuda.so.1
// gets it: the loader goes by the name that a library calls itself.

#ifndef KVPAGER_TESTS_FAKE_CUDA_LOADED_H_
#define KVPAGER_TESTS_FAKE_CUDA_LOADED_H_

#include <dlfcn.h>

#include "memmgr/base/check.h"
#include "tests/fake_cuda/fake_cuda.h"

namespace kvpager::fake_cuda {

inline constexpr const char* kLibraryPath = KVPAGER_FAKE_CUDA_FOLDER "/libcuda.so.1";

inline Control& Steer() {
  static Control* const control = [] {
    void* const library = dlopen(kLibraryPath, RTLD_NOW | RTLD_LOCAL);
    KVP_CHECK(library != nullptr);
    void* const found = dlsym(library, "kvp_fake_cuda_control");
    KVP_CHECK(found != nullptr);
    return reinterpret_cast<ControlFunction>(found)();
  }();
  return *control;
}

}  // namespace kvpager::fake_cuda

#endif  // KVPAGER_TESTS_FAKE_CUDA_LOADED_H_
