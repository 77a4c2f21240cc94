// engine_plugin/gpu_pool.h
//
// The daemon's frames on a GPU, mapped into this process: one range of device addresses, readable
// and writable by the device, in the primary context, which is the one that frameworks use. The CPU
// must not follow these addresses. No CUDA call is made while steps run.
//
// Ownership: the mapping and a reference of the context. Thread-safety: one thread; the addresses
// may be used by kernels of any. Errors: kUnavailable no driver, or a device that this process does
// not see; kResourceExhausted no addresses; kUnimplemented.

#ifndef KVPAGER_ENGINE_PLUGIN_GPU_POOL_H_
#define KVPAGER_ENGINE_PLUGIN_GPU_POOL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/unique_fd.h"
#include "memmgr/cuda/device_range.h"
#include "memmgr/cuda/scoped_context.h"

namespace kvpager::engine {

struct GpuPart {
  UniqueFd fd;
  uint64_t bytes = 0;
};

class GpuPool {
 public:
  // Maps the parts of the GPU `uuid`, one behind the other. They are closed.
  static absl::StatusOr<std::unique_ptr<GpuPool>> Import(const cuda::Uuid& uuid,
                                                         std::vector<GpuPart> parts);
  ~GpuPool();
  GpuPool(const GpuPool&) = delete;
  GpuPool& operator=(const GpuPool&) = delete;

  // Of frame 0, for the device.
  uint8_t* base() const { return reinterpret_cast<uint8_t*>(range_->base()); }

 private:
  GpuPool() = default;

  std::unique_ptr<cuda::PrimaryContext> context_;
  std::unique_ptr<cuda::DeviceRange> range_;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_GPU_POOL_H_
