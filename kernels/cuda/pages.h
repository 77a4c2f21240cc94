// kernels/cuda/pages.h
//
// Batched copies of whole pages between a pool, where they lie scattered, and a buffer, where they
// lie one behind the other: what moving many small pages to and from the host needs, so that the
// copy engine sees one large piece.
//
//   pool    [ ][p3][ ][p1][ ][ ][p2]    <-- scatter --    buffer [p1][p2][p3]
//                                       --- gather -->
//
// The blocks are bounded, so that a copy leaves the rest of the device to the kernels beside it.
//
// Units: bytes; all multiples of 16. Ownership: everything is the caller's; all pointers are the
// device's, or the host's if the device can reach them. Thread-safety: any thread. Errors: a
// CudaStatus; nothing was launched. May be captured in a CUDA graph.

#ifndef KVPAGER_KERNELS_CUDA_PAGES_H_
#define KVPAGER_KERNELS_CUDA_PAGES_H_

#include <cstdint>

#include "kernels/cuda/status.h"

namespace kvpager::kernels {

struct CudaPages {
  void* pool = nullptr;  // Page 0.
  int64_t page_stride_bytes = 0;
  int64_t page_bytes = 0;            // Not above the stride.
  const int32_t* indices = nullptr;  // [count]; scatter: no page twice.
  int32_t count = 0;
  void* buffer = nullptr;  // [count, page_bytes]
  int32_t blocks_max = 16;
};

CudaStatus CudaGatherPages(const CudaPages& pages, CudaStream stream);
CudaStatus CudaScatterPages(const CudaPages& pages, CudaStream stream);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_PAGES_H_
