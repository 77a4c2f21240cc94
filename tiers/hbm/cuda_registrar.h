// tiers/hbm/cuda_registrar.h
//
// Host memory that copy engines may reach: registered region by region on a thread of its own,
// because it takes seconds for what servers have. Until a region's turn has come, and for good
// where the driver refuses, its bytes must be copied by way of memory that is pinned.
//
// Ownership: the registrations. The memory is the caller's and outlives the registrar.
// Thread-safety: Find and progress from one thread, beside the registrar's own (docs/THREADS.md).
// Errors: none; refusal() says why the driver refused.

#ifndef KVPAGER_TIERS_HBM_CUDA_REGISTRAR_H_
#define KVPAGER_TIERS_HBM_CUDA_REGISTRAR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "memmgr/cuda/scoped_context.h"
#include "tiers/worker_thread.h"

namespace kvpager {

class CudaRegistrar {
 public:
  // `region_bytes`: a multiple of the system's page size. kUnavailable: no thread to be had.
  static absl::StatusOr<std::unique_ptr<CudaRegistrar>> Start(const cuda::PrimaryContext& context,
                                                              std::byte* base, uint64_t bytes,
                                                              uint64_t region_bytes);
  ~CudaRegistrar();  // Waits for the region in progress. REQUIRES: the context is current.
  CudaRegistrar(const CudaRegistrar&) = delete;
  CudaRegistrar& operator=(const CudaRegistrar&) = delete;

  struct Place {
    bool is_registered = false;
    uint64_t region = 0;
    uint64_t bytes = 0;  // From the address to the end of the region.
  };
  // REQUIRES: `at` lies in the memory.
  Place Find(const std::byte* at) const;

  uint64_t registered_bytes() const { return registered_bytes_.load(); }
  uint64_t bytes() const { return bytes_; }
  // The driver's answer if it refused a region: no more is tried then.
  cuda::Result refusal() const { return refusal_.load(); }

 private:
  CudaRegistrar(const cuda::PrimaryContext& context, std::byte* base, uint64_t bytes,
                uint64_t region_bytes);
  uint64_t BytesOf(size_t region) const;
  void Run();

  const cuda::PrimaryContext& context_;
  std::byte* const base_;
  const uint64_t bytes_;
  const uint64_t region_bytes_;
  std::vector<std::atomic<bool>> registered_;
  std::atomic<uint64_t> registered_bytes_{0};
  std::atomic<cuda::Result> refusal_{cuda::kSuccess};
  std::atomic<bool> stop_{false};
  WorkerThread thread_;  // Last, so that it is joined first.
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_HBM_CUDA_REGISTRAR_H_
