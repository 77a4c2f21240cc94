// kernels/cuda/status.h
//
// What a call to a CUDA kernel comes back with: nothing, or one sentence that says what to change.
// A call that fails has launched nothing. What goes wrong on the device later shows where the
// caller waits for its stream.
//
// Ownership: `text` is a literal or CUDA's own. Thread-safety: plain values.

#ifndef KVPAGER_KERNELS_CUDA_STATUS_H_
#define KVPAGER_KERNELS_CUDA_STATUS_H_

namespace kvpager::kernels {

struct CudaStatus {
  const char* text = nullptr;  // Null: no error.
  int device_error = 0;        // A cudaError_t, if the error is CUDA's.

  bool ok() const { return text == nullptr; }
};

// A cudaStream_t. Null is the default stream.
using CudaStream = void*;

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_STATUS_H_
